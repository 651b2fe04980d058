package tests

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "kmip-keymgr/"

// arrows are all imports there may be among the product's packages, but for internal/secret, which any may import.
var arrows = map[string][]string{
	"cmd/kmip-keymgr-helper": {"protocol", "nova_conf", "keystone", "kmip", "kmip/keymgr"},
	"cmd/kmip-mock":          {"mock", "keystone", "nova_conf"},
	"kmip/keymgr":            {"kmip", "protocol", "ttlv"},
	"mock":                   {"kmip", "ttlv", "keystone"},
	"kmip":                   {"ttlv"},
	"keystone":               nil,
	"nova_conf":              nil,
	"protocol":               nil,
	"ttlv":                   nil,
	"internal/secret":        nil,
	"keystone/keystonetest":  nil, // runs a Keystone for tests
}

// owners are the packages that alone may import what stands here: every module from outside, and of the standard library
// what nobody here needs.
var owners = map[string][]string{
	"gopkg.in/ini.v1":                       {"nova_conf"},
	"github.com/hashicorp/go-retryablehttp": {"keystone"},
	"github.com/spf13/pflag":                {"cmd/kmip-keymgr-helper", "cmd/kmip-mock"},
	"github.com/stretchr/testify/require":   {"keystone/keystonetest"},
	"flag":                                  nil,
	"log":                                   nil,
	"os/exec":                               {"keystone/keystonetest"},
	"encoding/json":                         {"protocol", "kmip/keymgr", "mock", "keystone", "keystone/keystonetest", "cmd/kmip-keymgr-helper"},
}

// imports lists what each of the product's packages imports, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").Output()
	require.NoError(t, err)
	packages := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if name := strings.TrimPrefix(fields[0], module); name != "tests" && !strings.HasPrefix(name, "tests/") {
			packages[name] = fields[1:]
		}
	}
	require.Contains(t, packages, "ttlv")
	return packages
}

func TestArrows(t *testing.T) {
	for name, imported := range imports(t) {
		allowed, known := arrows[name]
		require.True(t, known, "%s is not in the table of allowed imports", name)
		for _, path := range imported {
			if inner, ours := strings.CutPrefix(path, module); ours && inner != "internal/secret" {
				require.Contains(t, allowed, inner, "%s must not import it", name)
			}
			if only, owned := owners[path]; owned {
				require.Contains(t, only, name, "%s must not be imported by it", path)
			}
		}
	}
}

// TestOutsideModules keeps the direct dependencies of the product to the three that it has reasons for.
func TestOutsideModules(t *testing.T) {
	outside := map[string]bool{}
	for _, imported := range imports(t) {
		for _, path := range imported {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				outside[path] = true
			}
		}
	}
	require.Subset(t, slices.Collect(maps.Keys(owners)), slices.Collect(maps.Keys(outside)))
}

// TestStartUp shows that a one-shot pays for nothing of ours before main: no tables, registries or compiled expressions.
func TestStartUp(t *testing.T) {
	for _, name := range []string{"kmip-keymgr-helper", "kmip-mock"} {
		cmd := exec.Command(program(name), "--version")
		cmd.Env = append(cmd.Environ(), "GODEBUG=inittrace=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err)
		require.Regexp(t, `(?m)^init runtime `, string(out), "the trace")
		ours := regexp.MustCompile(`(?m)^init (main|`+module+`\S+) .*$`).FindAllString(string(out), -1)
		require.Empty(t, ours, name)
	}
}
