"""Who is calling, and what they may: bearer tokens (JWT), read into grants.

`middleware` puts the caller's `grant.Grant` into the state of each request; whoever answers asks it once it
knows the app. `access.Access` stands behind both, made from `settings`.
"""
