package mock

import (
	"fmt"
	"net"
	"strings"
)

// WriteConf writes nova.conf into the PKI's directory: a [kmip] section with which a client on this host reaches the
// server of that configuration that listens on that address.
func (p *PKI) WriteConf(address string, config *Config) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString("[key_manager]\nbackend = kmip\n\n[kmip]\n")
	option := func(name, value string) { fmt.Fprintf(&text, "%s = %s\n", name, oslo(value)) }
	option("host", reachable(host))
	option("port", port)
	if !p.names(reachable(host)) {
		option("server_name", "localhost")
	}
	option("ca_certs", p.file("ca.pem"))
	option("certfile", p.file("client.pem"))
	option("keyfile", p.file("client-key.pem"))
	if config.Keystone != nil {
		option("mode", "integrated")
	}
	for _, u := range config.Users[:min(1, len(config.Users))] {
		option("username", u.Name)
		option("password", string(u.Password))
	}
	return writeFile(p.file("nova.conf"), []byte(text.String()), 0o600)
}

// reachable is the host to connect to for a server that listens on that one; IPv6 stands in brackets.
func reachable(host string) string {
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip != nil && ip.IsUnspecified():
		return "localhost"
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// names tells whether the server's certificate is for that host.
func (p *PKI) names(host string) bool {
	return p.Server.Leaf != nil && p.Server.Leaf.VerifyHostname(host) == nil
}

// oslo is a value as oslo.config reads it back: a dollar is doubled, and what would be stripped stands in quotes.
func oslo(value string) string {
	value = strings.ReplaceAll(value, "$", "$$")
	if value != strings.TrimSpace(value) || strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'") {
		return `"` + value + `"`
	}
	return value
}
