"""Steps of the two related runbooks."""
