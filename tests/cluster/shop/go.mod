module leat.dev/tests/cluster/shop

go 1.26.0
