"""The plain way: an ordinary FastAPI application, written as any tutorial has it."""
