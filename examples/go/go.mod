module example.org/envkit-suite

go 1.19
