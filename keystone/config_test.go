package keystone

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
)

func section(options map[string]string) Lookup {
	return func(option string) (string, bool, error) {
		text, ok := options[option]
		return text, ok, nil
	}
}

func files(path string) ([]byte, error) {
	if strings.HasPrefix(path, "/missing") {
		return nil, fs.ErrNotExist
	}
	return []byte("of " + path), nil
}

func TestReadConfig(t *testing.T) {
	c, err := ReadConfig(section(map[string]string{
		"auth_url": "https://keystone/", "auth_type": "password", "username": "kmip", "password": "p", "project_name": "service",
		"user_domain_name": "Default", "project_domain_id": "default", "cafile": "/ca", "certfile": "/cert", "keyfile": "/key",
		"http_connect_timeout": "7", "http_request_max_retries": "1", "token_cache_time": "-1",
		"service_token_roles": " service, glance ,", "service_token_roles_required": "True", "insecure": "false",
		"memcached_servers": "m1:11211", "region_name": "RegionOne",
	}), files)
	require.NoError(t, err)
	require.Equal(t, &Config{
		AuthURL: "https://keystone/", Username: "kmip", Password: secret.Bytes("p"), ProjectName: "service", UserDomainName: "Default",
		ProjectDomainID: "default", CA: []byte("of /ca"), Certificate: []byte("of /cert"), Key: secret.Bytes("of /key"),
		ApplicationCredentialSecret: secret.Bytes{}, Token: secret.Bytes{},
		Timeout: 7 * time.Second, Retries: 1, CacheTime: -time.Second,
		ServiceRoles: []string{"service", "glance"}, ServiceRolesRequired: true,
	}, c)
	require.NotContains(t, fmt.Sprintf("%+v", c), "of /key")
}

func TestDefaultsAndOldNames(t *testing.T) {
	c, err := ReadConfig(section(map[string]string{
		"user_name": "kmip", "tenant_name": "service", "auth_plugin": "v3token", "default_domain_id": "default", "timeout": "3",
	}), nil)
	require.NoError(t, err)
	require.Equal(t, "kmip", c.Username)
	require.Equal(t, "service", c.ProjectName)
	require.Equal(t, TokenAuth, c.AuthType)
	require.Equal(t, [2]string{"default", "default"}, [2]string{c.UserDomainID, c.ProjectDomainID})
	require.Equal(t, 3*time.Second, c.Timeout)
	require.Equal(t, defaultRetries, c.Retries)
	require.Equal(t, defaultCacheTime, c.CacheTime)
	require.Equal(t, []string{"service"}, c.ServiceRoles)
	c, err = ReadConfig(section(nil), nil)
	require.NoError(t, err)
	require.Equal(t, defaultTimeout, c.Timeout)
}

func TestConfigErrors(t *testing.T) {
	for option, text := range map[string]string{
		"auth_type": "v3kerberos", "insecure": "true", "http_connect_timeout": "soon", "token_cache_time": "99999999",
		"timeout": "soon", "service_token_roles_required": "maybe", "cafile": "/missing", "auth_section": "keystone", "password": "\xff",
	} {
		t.Run(option, func(t *testing.T) {
			_, err := ReadConfig(section(map[string]string{option: text}), files)
			var e *ConfigError
			require.ErrorAs(t, err, &e)
			require.Equal(t, option, e.Option)
			require.NotContains(t, err.Error(), "\xff")
		})
	}
	broken := errors.New("nova.conf:12: no such option")
	_, err := ReadConfig(func(string) (string, bool, error) { return "", false, broken }, files)
	require.ErrorIs(t, err, broken)
}

func TestNewRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*Config)
		option string
	}{
		"no URL":              {func(c *Config) { c.AuthURL = "" }, "auth_url"},
		"no scheme":           {func(c *Config) { c.AuthURL = "keystone:5000" }, "auth_url"},
		"no host":             {func(c *Config) { c.AuthURL = "http:///v3" }, "auth_url"},
		"another scheme":      {func(c *Config) { c.AuthURL = "ftp://keystone" }, "auth_url"},
		"a user in it":        {func(c *Config) { c.AuthURL = "http://a:" + secretWords + "@keystone" }, "auth_url"},
		"a query in it":       {func(c *Config) { c.AuthURL = "http://keystone?a" }, "auth_url"},
		"a line in it":        {func(c *Config) { c.AuthURL = "http://keystone/\n" }, "auth_url"},
		"version 2":           {func(c *Config) { c.AuthURL = "http://keystone:5000/v2.0/" }, "auth_url"},
		"no user":             {func(c *Config) { c.Username = "" }, "username"},
		"no user domain":      {func(c *Config) { c.UserDomainName = "" }, "user_domain_name"},
		"no password":         {func(c *Config) { c.Password = nil }, "password"},
		"no project domain":   {func(c *Config) { c.ProjectDomainName = "" }, "project_domain_name"},
		"two scopes":          {func(c *Config) { c.TrustID = "t" }, "project_name"},
		"half a system":       {func(c *Config) { c.ProjectName, c.SystemScope = "", "some" }, "system_scope"},
		"application's scope": {func(c *Config) { application(c); c.ProjectID = "p" }, "auth_type"},
		"no secret":           {func(c *Config) { application(c); c.ApplicationCredentialSecret = nil }, "application_credential_secret"},
		"no application":      {func(c *Config) { application(c); c.ApplicationCredentialID = "" }, "application_credential_id"},
		"no application's user": {func(c *Config) {
			application(c)
			c.ApplicationCredentialID, c.ApplicationCredentialName, c.Username = "", "a", ""
		}, "username"},
		"no token":        {func(c *Config) { c.AuthType = TokenAuth }, "token"},
		"no PEM":          {func(c *Config) { c.CA = []byte("CA") }, "cafile"},
		"an empty cafile": {func(c *Config) { c.CA = []byte{} }, "cafile"},
		"no pair":         {func(c *Config) { c.Certificate = []byte("-") }, "certfile"},
	} {
		t.Run(name, func(t *testing.T) {
			config := basicConfig()
			row.change(config)
			_, err := New(config)
			var e *ConfigError
			require.ErrorAs(t, err, &e)
			require.Equal(t, row.option, e.Option)
			require.NotContains(t, err.Error(), secretWords)
		})
	}
}

func application(c *Config) {
	c.AuthType, c.ApplicationCredentialID, c.ApplicationCredentialSecret = ApplicationCredential, "id", secret.Bytes("s")
	c.ProjectName, c.ProjectDomainName = "", ""
}

func TestTokensURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://k:5000":              "http://k:5000/v3/auth/tokens?nocatalog",
		"http://k:5000/":             "http://k:5000/v3/auth/tokens?nocatalog",
		"http://k:5000/v3":           "http://k:5000/v3/auth/tokens?nocatalog",
		"https://k/identity/":        "https://k/identity/v3/auth/tokens?nocatalog",
		"https://[::1]/identity/v3/": "https://[::1]/identity/v3/auth/tokens?nocatalog",
	} {
		got, err := (&Config{AuthURL: in}).tokensURL()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
