"""Package that users and drivers import; `ferrolab` itself exposes it."""
