package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLongTokens has tokens longer than Debian's Keystone makes them, on their whole way: the helper, the mock, and a
// Keystone that takes everything.
func TestLongTokens(t *testing.T) {
	keystone := httptest.NewServer(http.HandlerFunc(takeEverything))
	defer keystone.Close()
	identity := filepath.Join(t.TempDir(), "identity.conf")
	writeLines(t, identity, "[keystone_authtoken]", "auth_url = "+keystone.URL+"/v3", "username = kms", "password = p", "user_domain_id = default")
	h := helper{configs: []string{startMock(t, "--keystone", identity).config}}
	long := func(bytes int) string { return strings.Repeat("x", bytes) }
	for name, context := range map[string]args{
		"8 KiB":      {"auth_token": long(8 << 10)},
		"16 KiB":     {"auth_token": long(16 << 10)},
		"two of 16":  {"auth_token": long(16 << 10), "service_token": long(16 << 10)},
		"keystone's": {"auth_token": long(200)},
	} {
		t.Run(name, func(t *testing.T) { createStory(t, h.under(context).ask, 256, "active") })
	}
	for name, context := range map[string]args{
		"a byte more":                  {"auth_token": long(16<<10 + 1)},
		"a service's with a byte more": {"auth_token": long(200), "service_token": long(16<<10 + 1)},
		"900 KiB":                      {"auth_token": long(900 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.under(context).ask(t, "list_keys", args{})
			requireKind(t, r, "forbidden")
			require.Contains(t, r.Error.Message, "longer than 16 KiB")
			require.NotContains(t, r.Error.Message, "xxxx")
		})
	}
}

// takeEverything is a Keystone to which every token is alice's.
func takeEverything(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	if r.Method == http.MethodPost {
		w.Header().Set("X-Subject-Token", "the-mock")
		status = http.StatusCreated
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"token":{"user":{"id":"alice"},"project":{"id":"p"},"roles":[{"name":"service"}],"expires_at":%q}}`,
		time.Now().Add(time.Hour).Format(time.RFC3339))
}
