"""An ordinary FastAPI application, written as tutorials do."""
