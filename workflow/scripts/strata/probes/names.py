"""Names of dimensions that only results of this package have; shared ones are in `strata.names`."""

NMF_COMPONENT = "nmf_component"
FITTED_DEPTH = "fitted_depth"
