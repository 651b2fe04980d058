module kmip-keymgr

go 1.26

require (
	github.com/hashicorp/go-retryablehttp v0.7.8
	github.com/spf13/pflag v1.1.0
	gopkg.in/ini.v1 v1.67.3
)

require (
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.26.0 // indirect
	golang.org/x/tools v0.26.0 // indirect
)

// For the tests alone.
require (
	github.com/rogpeppe/go-internal v1.16.0
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
	pgregory.net/rapid v1.3.0
)
