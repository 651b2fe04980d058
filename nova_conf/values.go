package novaconf

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseBool is types.py's Boolean: no white space around it, any case.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "on", "yes":
		return true, nil
	case "false", "0", "off", "no":
		return false, nil
	}
	return false, errors.New("is not one of true, 1, on, yes, false, 0, off, no")
}

// choice is types.py's String(choices=...): exactly as written.
func choice(s string, choices ...string) error {
	if slices.Contains(choices, s) {
		return nil
	}
	return errors.New("is not one of " + strings.Join(choices, ", "))
}

// parseInt takes what Python's int() takes, but for digits other than ASCII's.
func parseInt(s string, least, most int) (int, error) {
	digits, ok := plainNumber(s)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < least || n > most {
		return 0, fmt.Errorf("is not a whole number from %d to %d", least, most)
	}
	return n, nil
}

// maxSeconds is about what a time.Duration can hold.
const maxSeconds = 9e9

// parseSeconds takes what Python's float() takes, but for digits other than ASCII's, infinities and NaN.
func parseSeconds(s string, least time.Duration) (time.Duration, error) {
	digits, ok := plainNumber(s)
	seconds, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || seconds > maxSeconds {
		return 0, fmt.Errorf("is not a number of seconds up to %.0f", float64(maxSeconds))
	}
	d := time.Duration(seconds * float64(time.Second))
	if seconds < 0 || d < least {
		return 0, fmt.Errorf("is too short a time: the least is %v", least)
	}
	return d, nil
}

// plainNumber takes white space and the underscores between digits out of a number, as Python does, and leaves to
// strconv the syntax that both languages share: it lets no letter pass but the exponent's. To Python's int() and
// float() the separators U+001C to U+001F are no white space, though strip() says they are.
func plainNumber(s string) (string, bool) {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i == len(s)-1 || !isDigit(s[i-1]) || !isDigit(s[i+1])) {
			return "", false
		}
		if !isDigit(s[i]) && !strings.ContainsRune("_+-.eE", rune(s[i])) {
			return "", false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// splitList is types.py's List of strings: trailing commas mean nothing.
func splitList(s string) []string {
	s = strings.TrimRight(strings.TrimFunc(s, isSpace), ",")
	if s == "" {
		return nil
	}
	items := strings.Split(s, ",")
	for i := range items {
		items[i] = strings.TrimFunc(items[i], isSpace)
	}
	return items
}

// parsePath refuses only what no file can be called.
func parsePath(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", errors.New("holds a NUL character")
	}
	return s, nil
}

// parseHosts leaves the port 0 of a host that does not name one.
func parseHosts(s string) ([]Host, error) {
	var hosts []Host
	for _, item := range splitList(s) {
		h, err := parseHost(item)
		if err != nil {
			return nil, fmt.Errorf("holds a host that %w: %.80q", err, item)
		}
		hosts = append(hosts, h)
	}
	if hosts == nil {
		return nil, errors.New("is empty")
	}
	return hosts, nil
}

func parseHost(s string) (Host, error) {
	if inside, ok := strings.CutPrefix(s, "["); ok {
		return parseIPv6Host(inside)
	}
	name, port, hasPort := strings.Cut(s, ":")
	if strings.Contains(port, ":") {
		return Host{}, errors.New("is an IPv6 address without brackets")
	}
	if !isHostName(name) || strings.Contains(port, "/") {
		return Host{}, errors.New("is not a name or address")
	}
	return withPort(name, port, hasPort)
}

func parseIPv6Host(s string) (Host, error) {
	address, rest, closed := strings.Cut(s, "]")
	port, hasPort := strings.CutPrefix(rest, ":")
	if ip, err := netip.ParseAddr(address); err != nil || !ip.Is6() || !closed || rest != "" && !hasPort {
		return Host{}, errors.New("is not an IPv6 address in brackets")
	}
	return withPort(address, port, hasPort)
}

func withPort(name, port string, hasPort bool) (Host, error) {
	if !hasPort {
		return Host{Name: name}, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Host{}, errors.New("has no port from 1 to 65535 after the colon")
	}
	return Host{Name: name, Port: int(n)}, nil
}

// isHostName is what a resolver might know: letters, digits, hyphens, dots, and underscores, which some sites use.
func isHostName(s string) bool {
	for _, c := range []byte(s) {
		if !isDigit(c) && !isLetter(rune(c)) && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && s[0] != '-' && s[0] != '.' && len(s) <= 254
}

func parseServerName(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err != nil && s != "" && !isHostName(s) {
		return "", errors.New("is not a name or address")
	}
	return s, nil
}

func parseTLSVersion(s string) (uint16, error) {
	switch s {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, choice(s, "1.2", "1.3")
}

// parseCiphers takes the insecure suites too: old servers are what the option is for.
func parseCiphers(s string) ([]uint16, error) {
	var ids []uint16
	for _, item := range splitList(s) {
		suite := findCipher(item)
		if suite == nil {
			return nil, fmt.Errorf("names a cipher suite that Go does not have (IANA names are expected): %.80q", item)
		}
		if suite.SupportedVersions[0] == tls.VersionTLS13 {
			return nil, fmt.Errorf("holds %s, a suite of TLS 1.3, where Go offers all suites and none can be chosen", item)
		}
		ids = append(ids, suite.ID)
	}
	return ids, nil
}

func findCipher(name string) *tls.CipherSuite {
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.Name == name {
			return suite
		}
	}
	return nil
}
