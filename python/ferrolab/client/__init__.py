"""What users and drivers import; `ferrolab` itself exposes it."""
