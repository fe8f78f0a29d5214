"""The HTTP layer: access control, middleware, schemas, responses, metrics."""
