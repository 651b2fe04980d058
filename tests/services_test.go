package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// servicePatience is how long all of a service's flows may take. Its code alone takes seconds to be imported.
const servicePatience = 3 * time.Minute

// services are Cinder and Nova themselves: their own code that has to do with keys, through Castellan and the driver.
// python-shim/tests has the programs, and runs them in standalone mode. Nothing stays behind on the server.
func (r *realm) services(t *testing.T) {
	needs(t, "/usr/bin/cinder-manage", "cinder-common")
	needs(t, "/usr/bin/nova-manage", "nova-common")
	needs(t, "/usr/bin/pip3", "python3-pip")
	site := installDriver(t)
	alice, bob := r.context(t, r.alice), r.context(t, r.bob)
	late := with(about(r.alice, r.expired(t, r.alice)), args{"service_token": r.ks.Token(t, r.cinder)})
	before := r.mock.count(t)
	t.Run("cinder", func(t *testing.T) {
		authToken := r.identity(t, "keystone_authtoken", r.cinder)
		flows := r.program(t, site, "cinder_flows.py", []args{alice, bob, late},
			r.files(t, "exec", authToken), r.files(t, "session", authToken))
		require.Len(t, flows, 2*4)
	})
	t.Run("nova", func(t *testing.T) {
		nova := r.ks.NewUser(t, "service")
		user, tokenless := r.identity(t, "service_user", nova), r.identity(t, "kmip_service_user", nova)
		flows := r.program(t, site, "nova_flows.py", []args{alice},
			r.files(t, "exec", user), r.files(t, "session", user),
			r.files(t, "exec", user, tokenless), r.files(t, "session", user, tokenless))
		require.Len(t, flows, 2*(2*7+1)+2*(2*7+3))
	})
	require.Equal(t, before, r.mock.count(t))
}

func installDriver(t *testing.T) (site string) {
	t.Helper()
	site = t.TempDir()
	out, err := exec.Command("../python-shim/install", site).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return site
}

// files are a service's configuration: the server's, how the driver is to work, and those of Keystone. A
// [kmip_service_user] among them serves callers without a token.
func (r *realm) files(t *testing.T, mode string, others ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service.conf")
	tokenless := "refuse"
	if len(others) > 1 {
		tokenless = "service"
	}
	writeLines(t, path, "[key_manager]", "backend = kmip",
		"[kmip]", "helper = "+program("kmip-keymgr-helper"), "helper_mode = "+mode, "tokenless = "+tokenless)
	return strings.Join(append([]string{r.mock.config, path}, others...), ":")
}

// program runs a service's program for each configuration, and returns the flows that it reports.
func (r *realm) program(t *testing.T, site, name string, users []args, configurations ...string) (flows []string) {
	t.Helper()
	told, err := json.Marshal(users)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), servicePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, append([]string{filepath.Join("../python-shim/tests/programs", name)}, configurations...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+site, "PYTHONDONTWRITEBYTECODE=1")
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(told), &out, &errs
	require.NoError(t, cmd.Run(), "%s%s", &out, &errs)
	r.showsNoSecret(t, users, out.String()+errs.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &flows), "%s", &out)
	return flows
}

func (r *realm) showsNoSecret(t *testing.T, users []args, said string) {
	t.Helper()
	secrets := []string{r.cinder.Password}
	for _, user := range users {
		secrets = append(secrets, user["auth_token"].(string))
	}
	for _, secret := range secrets {
		require.NotContains(t, said, secret)
	}
}
