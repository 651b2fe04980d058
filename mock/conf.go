package mock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strings"

	"kmip-keymgr/kmip"
)

// WriteConf makes nova.conf in the PKI's directory, or makes the one that is there fit: a [kmip] section with which a client
// on this host reaches the server of that configuration that listens on that address. Of a file that is there, only options
// without which that would not work are changed, each on its line.
func (p *PKI) WriteConf(address string, config *Config) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	host = reachable(host)
	path := p.file("nova.conf")
	there, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFile(path, []byte(p.newConf(host, port, config)), 0o600)
	}
	if err != nil {
		return err
	}
	if text := p.amend(string(there), host, port, config); text != string(there) {
		return writeFile(path, []byte(text), permissions(path))
	}
	return nil
}

// permissions are those of a file that is to be replaced.
func permissions(path string) os.FileMode {
	info, err := os.Stat(path)
	if err != nil {
		return 0o600
	}
	return info.Mode().Perm()
}

// newConf is the file where there is none.
func (p *PKI) newConf(host, port string, config *Config) string {
	var text strings.Builder
	text.WriteString("[key_manager]\nbackend = kmip\n\n[kmip]\n")
	options := append(address(host, port), required(config)...)
	if !p.names(host) {
		options = append(options, option{"server_name", "localhost"})
	}
	for _, o := range append(options, p.files()...) {
		text.WriteString(o.String() + "\n")
	}
	return text.String()
}

// files are the options that name the PKI's.
func (p *PKI) files() []option {
	return []option{{"ca_certs", p.file("ca.pem")}, {"certfile", p.file("client.pem")}, {"keyfile", p.file("client-key.pem")}}
}

// option is one of [kmip].
type option struct{ name, value string }

// String is its line in a file.
func (o option) String() string { return fmt.Sprintf("%s = %s", o.name, oslo(o.value)) }

// address are the options that say where the server is.
func address(host, port string) []option { return []option{{"host", host}, {"port", port}} }

// required are the options that the server's own make necessary.
func required(config *Config) (options []option) {
	if config.Keystone != nil {
		options = append(options, option{"mode", "integrated"})
	}
	for _, u := range config.Users[:min(1, len(config.Users))] {
		options = append(options, option{"username", u.Name}, option{"password", string(u.Password)})
	}
	return options
}

// amend changes what must be otherwise for that server, and leaves all else as it is. A list of several hosts was made by
// somebody who knows where they are.
func (p *PKI) amend(text, host, port string, config *Config) string {
	f := parseConf(text)
	options := required(config)
	if !strings.Contains(f.value("host"), ",") {
		options = append(address(host, port), options...)
		if !p.names(host) && f.value("server_name") == "" {
			options = append(options, option{"server_name", "localhost"})
		}
	}
	if config.Keystone == nil && f.value("mode") != "" {
		options = append(options, option{"mode", "standalone"})
	}
	if v, err := kmip.ParseVersion(f.value("kmip_version")); err == nil && !config.Versions.has(v) {
		options = append(options, option{"kmip_version", "auto"})
	}
	for _, o := range p.files() {
		if f.value(o.name) == "" {
			options = append(options, o)
		}
	}
	for _, o := range options {
		f.set(o)
	}
	return strings.Join(f.lines, "\n")
}

// conf is a file as lines, of which some are options in [kmip].
type conf struct {
	lines []string
	at    map[string]int // of each option the last, which counts
	end   int            // where a further option goes
}

func parseConf(text string) *conf {
	sectionLine := regexp.MustCompile(`^\[(.*)\]\s*$`)
	optionLine := regexp.MustCompile(`^([^\s#;=:][^=:]*?)\s*[=:]`)
	f := &conf{lines: strings.Split(text, "\n"), at: make(map[string]int), end: -1}
	inside := false
	for i, line := range f.lines {
		if section := sectionLine.FindStringSubmatch(line); section != nil {
			inside = strings.EqualFold(section[1], "kmip")
		} else if o := optionLine.FindStringSubmatch(line); inside && o != nil {
			f.at[o[1]] = i
		}
		if inside && strings.TrimSpace(line) != "" {
			f.end = i + 1
		}
	}
	return f
}

// value is an option's as it is written, its lines joined, "" where it is not.
func (f *conf) value(name string) string {
	at, ok := f.at[name]
	if !ok {
		return ""
	}
	first := f.lines[at]
	value := strings.TrimSpace(first[strings.IndexAny(first, "=:")+1:])
	for _, line := range f.continued(at) {
		value += strings.TrimSpace(line)
	}
	return value
}

// continued are the lines that go on with the option on that line: those that begin with white space and hold something.
func (f *conf) continued(at int) []string {
	end := at + 1
	for end < len(f.lines) && strings.TrimSpace(f.lines[end]) != "" && strings.ContainsRune(" \t", rune(f.lines[end][0])) {
		end++
	}
	return f.lines[at+1 : end]
}

// set changes an option's line, or adds one.
func (f *conf) set(o option) {
	if f.value(o.name) == oslo(o.value) {
		return
	}
	if at, ok := f.at[o.name]; ok {
		f.lines[at] = o.String()
		clear(f.continued(at))
		return
	}
	if f.end < 0 {
		f.lines = append(strings.Split(strings.TrimRight(strings.Join(f.lines, "\n"), "\n"), "\n"), "", "[kmip]", "")
		f.end = len(f.lines) - 1
	}
	f.lines = append(f.lines[:f.end:f.end], append([]string{o.String()}, f.lines[f.end:]...)...)
	f.end++
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

// names reports whether the server's certificate is for that host.
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
