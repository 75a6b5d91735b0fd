"""The server's side of HTTP/1.1: connections, requests and replies, and the hand-over to WebSockets."""
