package keystone

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"kmip-keymgr/internal/secret"
)

// AuthType is how a client proves who it is.
type AuthType uint8

const (
	// Password is a user's password: auth_type password or v3password, and what no auth_type means.
	Password AuthType = iota
	// ApplicationCredential is auth_type v3applicationcredential. It brings its own scope.
	ApplicationCredential
	// TokenAuth is a token that is exchanged for another, of another scope: auth_type token or v3token.
	TokenAuth
)

// Config is a Keystone and an identity of ours there. An empty field is an option that was not given. Of an ID and a name
// for the same thing the ID counts.
type Config struct {
	AuthURL  string // http or https; /v3 is added where it does not end in it
	AuthType AuthType

	UserID, Username                                   string // a Username needs a domain
	UserDomainID, UserDomainName                       string
	Password                                           secret.Bytes
	ApplicationCredentialID, ApplicationCredentialName string // a name needs a user
	ApplicationCredentialSecret                        secret.Bytes
	Token                                              secret.Bytes

	// The scope, at most one: a project, a domain, a trust or the system.
	ProjectID, ProjectName, ProjectDomainID, ProjectDomainName string
	DomainID, DomainName                                       string
	TrustID                                                    string
	SystemScope                                                string // "all" or nothing

	CA          []byte       // PEM of cafile; nil for the system's CAs
	Certificate []byte       // PEM of certfile, where Keystone wants a client certificate
	Key         secret.Bytes // PEM of keyfile

	Timeout   time.Duration // one attempt with its answer; a whole call ends after callTimeouts of them
	Retries   int           // further attempts after a broken connection or a 5xx
	CacheTime time.Duration // how long a validation is good for; 0 or less for no longer than the call

	ServiceRoles         []string // one of them makes a valid token a service token
	ServiceRolesRequired bool     // a valid token beside the subject's that has none of them refuses the request

	dial func(ctx context.Context, network, address string) (net.Conn, error) // for tests; nil for the network
}

const (
	defaultTimeout   = 10 * time.Second
	defaultRetries   = 3               // http_request_max_retries
	defaultCacheTime = 5 * time.Minute // token_cache_time
	callTimeouts     = 3
)

// Lookup gives the text of an option of a section such as [keystone_authtoken] or [kmip_service_user], or of a Castellan
// credential, whose fields have the same names. ok is false where it is not set.
type Lookup func(option string) (text string, ok bool, err error)

// ReadConfig reads the options that keystonemiddleware 10.1 and keystoneauth 5.0 have for the same purpose, with their
// defaults but for timeouts: http_connect_timeout, or timeout, is 10 s where they wait for ever. readFile reads cafile,
// certfile and keyfile. Errors are lookup's own or of type *[ConfigError]; [New] tells what does not fit together.
func ReadConfig(lookup Lookup, readFile func(path string) ([]byte, error)) (*Config, error) {
	r := &reader{lookup: lookup, readFile: readFile}
	c := &Config{
		AuthURL: r.text("auth_url"), AuthType: r.authType(),
		UserID: r.text("user_id"), Username: r.text("username", "user_name"),
		UserDomainID: r.text("user_domain_id"), UserDomainName: r.text("user_domain_name"),
		Password:                    r.secret("password"),
		ApplicationCredentialID:     r.text("application_credential_id"),
		ApplicationCredentialName:   r.text("application_credential_name"),
		ApplicationCredentialSecret: r.secret("application_credential_secret"),
		Token:                       r.secret("token"),
		ProjectID:                   r.text("project_id", "tenant_id"), ProjectName: r.text("project_name", "tenant_name"),
		ProjectDomainID: r.text("project_domain_id"), ProjectDomainName: r.text("project_domain_name"),
		DomainID: r.text("domain_id"), DomainName: r.text("domain_name"),
		TrustID: r.text("trust_id"), SystemScope: r.text("system_scope"),
		CA: r.file("cafile"), Certificate: r.file("certfile"), Key: r.file("keyfile"),
		Timeout:              r.seconds(defaultTimeout, "http_connect_timeout", "timeout"),
		Retries:              r.number(defaultRetries, "http_request_max_retries"),
		CacheTime:            r.seconds(defaultCacheTime, "token_cache_time"),
		ServiceRoles:         r.list("service", "service_token_roles"),
		ServiceRolesRequired: r.boolean("service_token_roles_required"),
	}
	c.defaultDomain(r.text("default_domain_id"), r.text("default_domain_name"))
	if r.text("auth_section") != "" {
		r.fail("auth_section", "is not supported: put the options into this section")
	}
	if r.boolean("insecure") {
		r.fail("insecure", "is not supported: name the CA of the server's certificate in cafile")
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// defaultDomain is the domain of users and projects that name none of their own, as in keystoneauth's generic plugins.
func (c *Config) defaultDomain(id, name string) {
	if c.UserDomainID == "" && c.UserDomainName == "" {
		c.UserDomainID, c.UserDomainName = id, name
	}
	if c.ProjectDomainID == "" && c.ProjectDomainName == "" {
		c.ProjectDomainID, c.ProjectDomainName = id, name
	}
}

// reader keeps the first error.
type reader struct {
	lookup   Lookup
	readFile func(path string) ([]byte, error)
	err      error
}

func (r *reader) fail(option, reason string) {
	if r.err == nil {
		r.err = &ConfigError{option, reason}
	}
}

// text is that of the first option that is set; the others are older names of it.
func (r *reader) text(options ...string) string {
	_, text := r.first(options)
	return text
}

// first is the first option that is set, and its text.
func (r *reader) first(options []string) (option, text string) {
	for _, option := range options {
		text, ok, err := r.lookup(option)
		if r.err == nil {
			r.err = err
		}
		if ok && text != "" {
			return option, text
		}
	}
	return "", ""
}

func (r *reader) secret(option string) secret.Bytes {
	text := r.text(option)
	if !utf8.ValidString(text) {
		r.fail(option, "not UTF-8")
	}
	return secret.Bytes(text)
}

func (r *reader) authType() AuthType {
	switch r.text("auth_type", "auth_plugin") {
	case "", "password", "v3password":
		return Password
	case "v3applicationcredential":
		return ApplicationCredential
	case "token", "v3token":
		return TokenAuth
	}
	r.fail("auth_type", "must be password, v3applicationcredential or token")
	return Password
}

func (r *reader) file(option string) []byte {
	path := r.text(option)
	if path == "" || r.err != nil {
		return nil
	}
	text, err := r.readFile(path)
	if err != nil {
		r.fail(option, err.Error())
	}
	return text
}

func (r *reader) number(fallback int, options ...string) int {
	option, text := r.first(options)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > 1_000_000 {
		r.fail(option, "must be a whole number of at most 1000000")
	}
	return n
}

func (r *reader) seconds(fallback time.Duration, options ...string) time.Duration {
	return time.Duration(r.number(int(fallback/time.Second), options...)) * time.Second
}

func (r *reader) boolean(option string) bool {
	switch strings.ToLower(r.text(option)) {
	case "true", "1", "on", "yes":
		return true
	case "", "false", "0", "off", "no":
		return false
	}
	r.fail(option, "must be true or false")
	return false
}

func (r *reader) list(fallback, option string) (items []string) {
	for item := range strings.SplitSeq(cmp.Or(r.text(option), fallback), ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// tokensURL is where tokens are asked for and validated, without the catalog (Identity API v3, "Authentication and token
// management").
func (c *Config) tokensURL() (string, error) {
	u, err := url.Parse(c.AuthURL)
	switch {
	case c.AuthURL == "":
		return "", &ConfigError{"auth_url", "missing"}
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", &ConfigError{"auth_url", "must be http://HOST[:PORT][/PATH] or https"}
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", &ConfigError{"auth_url", "must have no user, query or fragment"}
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v2.0"):
		return "", &ConfigError{"auth_url", "version 2.0 is not supported: it must end in /v3"}
	}
	path := strings.TrimRight(u.Path, "/")
	if !strings.HasSuffix(path, "/v3") {
		path += "/v3"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: path + "/auth/tokens", RawQuery: "nocatalog"}).String(), nil
}
