"""How quick Applinks is, as ratios to a bare Flask application under the same server, in one run: `make benchmark`."""
