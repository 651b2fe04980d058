package novaconf

import (
	"slices"
	"strings"
	"time"

	"kmip-keymgr/internal/secret"
)

// option is one option of [kmip]. set converts its effective text; an error says what is wrong with the text.
type option struct {
	name     string
	fallback string // the text that stands where nothing is set, "" for none
	required bool
	secret   bool
	set      func(k *KMIP, text string) error
}

// options are all there are. An empty text for an optional one without default means the same as leaving it out.
var options = [...]option{
	{name: "host", fallback: "localhost", set: func(k *KMIP, s string) (err error) {
		k.Hosts, err = parseHosts(s)
		return err
	}},
	{name: "port", fallback: "5696", set: func(k *KMIP, s string) (err error) {
		k.Port, err = parseInt(s, 1, 65535)
		return err
	}},
	{name: "certfile", required: true, set: func(k *KMIP, s string) (err error) {
		k.CertFile, err = parsePath(s)
		return err
	}},
	{name: "keyfile", required: true, set: func(k *KMIP, s string) (err error) {
		k.KeyFile, err = parsePath(s)
		return err
	}},
	{name: "ca_certs", required: true, set: func(k *KMIP, s string) (err error) {
		k.CACerts, err = parsePath(s)
		return err
	}},
	{name: "server_name", set: func(k *KMIP, s string) (err error) {
		k.ServerName, err = parseServerName(s)
		return err
	}},
	{name: "tls_min_version", fallback: "1.2", set: func(k *KMIP, s string) (err error) {
		k.TLSMinVersion, err = parseTLSVersion(s)
		return err
	}},
	{name: "tls_ciphers", set: func(k *KMIP, s string) (err error) {
		k.TLSCiphers, err = parseCiphers(s)
		return err
	}},
	{name: "username", set: func(k *KMIP, s string) error {
		k.Username = s
		return nil
	}},
	{name: "password", secret: true, set: func(k *KMIP, s string) error {
		k.Password = secret.Bytes(s)
		return nil
	}},
	{name: "mode", fallback: "standalone", set: func(k *KMIP, s string) error {
		k.Integrated = s == "integrated"
		return choice(s, "standalone", "integrated")
	}},
	{name: "tokenless", fallback: "refuse", set: func(k *KMIP, s string) error {
		k.TokenlessService = s == "service"
		return choice(s, "refuse", "service")
	}},
	{name: "kmip_version", fallback: "auto", set: func(k *KMIP, s string) error {
		k.KMIPVersion = s
		return choice(s, "auto", "1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1")
	}},
	{name: "connect_timeout", fallback: "5", set: func(k *KMIP, s string) (err error) {
		k.ConnectTimeout, err = parseSeconds(s, time.Nanosecond)
		return err
	}},
	{name: "timeout", fallback: "30", set: func(k *KMIP, s string) (err error) {
		k.Timeout, err = parseSeconds(s, time.Nanosecond)
		return err
	}},
	{name: "max_retries", fallback: "3", set: func(k *KMIP, s string) (err error) {
		k.MaxRetries, err = parseInt(s, 0, 1_000_000)
		return err
	}},
	{name: "retry_interval", fallback: "0.5", set: func(k *KMIP, s string) (err error) {
		k.RetryInterval, err = parseSeconds(s, 0)
		return err
	}},
	{name: "activate", fallback: "true", set: func(k *KMIP, s string) (err error) {
		k.Activate, err = parseBool(s)
		return err
	}},
	{name: "project_isolation", fallback: "true", set: func(k *KMIP, s string) (err error) {
		k.ProjectIsolation, err = parseBool(s)
		return err
	}},
	{name: "object_group", set: func(k *KMIP, s string) error {
		k.ObjectGroup = s
		return nil
	}},
	{name: "helper", set: func(k *KMIP, s string) error {
		k.Helper = s
		return nil
	}},
	{name: "helper_mode", fallback: "exec", set: func(k *KMIP, s string) error {
		k.HelperMode = s
		return choice(s, "exec", "session")
	}},
}

// lookupOption is nil for what is no option of [kmip].
func lookupOption(n name) *option {
	if n.group != "kmip" {
		return nil
	}
	for i := range options {
		if options[i].name == n.option {
			return &options[i]
		}
	}
	return nil
}

// resemblesOption reports whether a name may be an option's, misspelt.
func resemblesOption(name string) bool {
	return slices.ContainsFunc(options[:], func(o option) bool {
		return strings.HasPrefix(o.name, name[:min(3, len(name))]) && len(name) <= len(o.name)+1
	})
}

// isSecret says whose text is not to be shown. Of other groups' options only the names are known: passwords, tokens,
// and the URLs that Nova keeps passwords in.
func isSecret(n name) bool {
	if o := lookupOption(n); o != nil {
		return o.secret
	}
	for _, word := range [...]string{"pass", "secret", "token", "credential", "connection", "transport_url"} {
		if strings.Contains(n.option, word) {
			return true
		}
	}
	return false
}
