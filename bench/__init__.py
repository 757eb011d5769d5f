"""Tools around the package that are not shipped with it: the zoo, its exporters, comparisons and generated tables."""
