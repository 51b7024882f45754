"""Names of dimensions that only results of this package have; shared ones are in `strata.names`."""

KEY = "key"
