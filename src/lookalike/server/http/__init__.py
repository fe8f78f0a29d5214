"""What every request passes through: access, middleware, schemas, responses, metrics."""
