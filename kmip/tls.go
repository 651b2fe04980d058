package kmip

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// TLS says how a client proves who it is and whom it trusts. The server's certificate is always verified.
type TLS struct {
	Certificate  tls.Certificate
	Roots        *x509.CertPool // nil for none
	ServerName   string         // "" for the host's own name
	MinVersion   uint16         // as in crypto/tls
	CipherSuites []uint16       // of TLS 1.2, nil for Go's secure set
}

// config is the TLS configuration for one host. The certificate is shown to every server that asks for one. In Certificates
// it would be held back from a server whose list of CAs does not name its issuer, and such lists are not always complete.
func (t *TLS) config(host string) *tls.Config {
	return &tls.Config{
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &t.Certificate, nil },

		RootCAs:      cmp.Or(t.Roots, x509.NewCertPool()), // never nil, which would be the system's
		ServerName:   cmp.Or(t.ServerName, host),
		MinVersion:   t.MinVersion,
		CipherSuites: t.CipherSuites,
	}
}

// connect makes sure of a connection to the host in use: the one that is open, if the server has not left it.
func (c *Client) connect(ctx context.Context) error {
	if c.conn != nil && !hungUp(c.conn) {
		return nil
	}
	c.disconnect()
	address := c.config.Hosts[c.hosts.current]
	conn, err := c.config.dial(ctx, address, c.hosts.connectBy)
	if err != nil {
		return &TransportError{Server: address, Err: err}
	}
	c.adopt(conn, address)
	return nil
}

// adopt begins with a new connection.
func (c *Client) adopt(conn *tls.Conn, address string) {
	c.switchTo(address)
	// It may be another server by now, or take no changes any more, but most likely speaks the version.
	c.conn, c.fresh, c.settled, c.writes = conn, true, false, false
}

// dial connects to one host, within the connection's own timeout and, unless that is zero, by the time given.
func (c *Config) dial(ctx context.Context, address string, by time.Time) (*tls.Conn, error) {
	ctx, cancel := c.attempt(ctx, by)
	defer cancel()
	raw, err := reach(ctx, address)
	if err != nil {
		return nil, err
	}
	return c.TLS.handshake(ctx, raw, address)
}

// attempt bounds one connection.
func (c *Config) attempt(ctx context.Context, by time.Time) (context.Context, context.CancelFunc) {
	end, cause := time.Now().Add(c.ConnectTimeout), timeoutError(fmt.Sprintf("no answer within connect_timeout (%g s)", c.ConnectTimeout.Seconds()))
	if !by.IsZero() && by.Before(end) {
		end, cause = by, errLate
	}
	return context.WithDeadlineCause(ctx, end, cause)
}

// reach connects by TCP.
func reach(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, inWords(ctx, err)
	}
	return raw, nil
}

// handshake shakes hands on a connection, and hangs up where that fails.
func (t *TLS) handshake(ctx context.Context, raw net.Conn, address string) (*tls.Conn, error) {
	stop := bound(ctx, raw)
	defer stop()
	host, _, err := net.SplitHostPort(address)
	conn := tls.Client(newWire(raw), t.config(host))
	if err == nil {
		err = conn.Handshake()
	}
	if err != nil {
		raw.Close()
		return nil, t.explain(inWords(ctx, err), conn.ConnectionState().CipherSuite != 0)
	}
	return conn, nil
}

// hungUp reports whether the server has closed a connection that was idle, or said something unasked, which is the same:
// the next answer read could be one to an earlier request. It looks at what the TLS connection has read already, then at
// what waits in the socket, which may be TLS's own: servers send session tickets unasked (RFC 8446 section 4.6.1).
func hungUp(conn *tls.Conn) bool {
	w := conn.NetConn().(*wire)
	if !wipeRead(conn) {
		return true
	}
	return !quiet(w) && !(takeIn(conn) && wipeRead(conn) && quiet(w))
}

// takeIn has TLS read what waits in the socket, and reports whether that was nothing to be read here.
func takeIn(conn *tls.Conn) bool {
	const moment = 5 * time.Millisecond // for what has come already
	_ = conn.SetReadDeadline(time.Now().Add(moment))
	_, err := conn.Read(make([]byte, 1))
	_ = conn.SetReadDeadline(time.Time{})
	return err != nil && isTimeout(err)
}

// quiet reports whether a socket is open and has nothing to read.
func quiet(sys syscall.Conn) (quiet bool) {
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
		return true
	})
	return err == nil && quiet
}

// HandshakeError is a TLS handshake that failed for a reason that trying again will not mend.
type HandshakeError struct {
	Advice string // what the operator can do
	Err    error
}

func (e *HandshakeError) Error() string { return e.Err.Error() + "; " + e.Advice }

// Unwrap gives the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// isPermanent tells errors that come again however often one tries: of several hosts, where each has one.
func isPermanent(err error) bool {
	var all hostErrors
	if errors.As(err, &all) {
		return !slices.ContainsFunc(all, func(e hostError) bool { return !isPermanent(e.err) })
	}
	var handshake *HandshakeError
	return errors.As(err, &handshake)
}

// explain says what to do about a handshake that failed. agreed reports whether it came as far as a cipher suite.
func (t *TLS) explain(err error, agreed bool) error {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return &HandshakeError{nameAdvice(name.Certificate), err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &HandshakeError{validity(invalid.Cert), err}
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return &HandshakeError{"the server's certificate lacks the extended key usage serverAuth: it must be reissued", err}
	case errors.As(err, &unknown):
		return &HandshakeError{"ca_certs must hold the CA that issued the server's certificate", err}
	case errors.As(err, &verification):
		return &HandshakeError{"the server's certificate cannot be used", err}
	}
	return t.explainAlert(err, agreed)
}

// explainAlert says what to do about the server's own complaints (RFC 8446 section 6.2).
func (t *TLS) explainAlert(err error, agreed bool) error {
	switch {
	case agreed && alerted(err, alertHandshakeFailure): // as some servers say it of a certificate
		return &HandshakeError{certificateAdvice, err}
	case !agreed && alerted(err, alertHandshakeFailure, alertInsufficientSecurity):
		old := "name its suites in tls_ciphers (" + tls.CipherSuiteName(tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256) + ", " +
			tls.CipherSuiteName(tls.TLS_RSA_WITH_AES_128_CBC_SHA256) + " and what else Go has)"
		if t.MinVersion == tls.VersionTLS13 {
			old = "set tls_min_version = 1.2"
		}
		return &HandshakeError{"the server accepts none of the suites offered: " + strings.Join(t.offered(), ", ") +
			"; for an old server, " + old, err}
	case alerted(err, alertUnrecognizedName):
		return &HandshakeError{"the server does not know the name it is asked for: host or server_name in [kmip] must be one of its own", err}
	// The server's alert 70, or crypto/tls's own error about the version that the server chose, which has no type.
	case strings.Contains(err.Error(), "protocol version") && t.MinVersion == tls.VersionTLS13:
		return &HandshakeError{"the server does not speak TLS 1.3: an older one needs tls_min_version = 1.2", err}
	case strings.Contains(err.Error(), "protocol version"):
		return &HandshakeError{"the server speaks neither TLS 1.2 nor TLS 1.3, and what is older is not secure", err}
	}
	return explainRefusal(err)
}

// explainRefusal says what to do about a server that does not take our certificate; in TLS 1.3 it says so only after the
// handshake.
func explainRefusal(err error) error {
	if alerted(err, certificateAlerts[:]...) {
		return &HandshakeError{certificateAdvice, err}
	}
	return err
}

const certificateAdvice = "the server does not accept the certificate in certfile; the server's log tells why"

// The alerts that say something to an operator (RFC 8446 section 6).
const (
	alertHandshakeFailure     tls.AlertError = 40
	alertInsufficientSecurity tls.AlertError = 71
	alertUnrecognizedName     tls.AlertError = 112
)

// certificateAlerts are those by which a server refuses a client's certificate: bad, unsupported, revoked, expired or
// unknown certificate, unknown CA, access denied, certificate required.
var certificateAlerts = [...]tls.AlertError{42, 43, 44, 45, 46, 48, 49, 116}

// alerted reports whether the server sent one of these alerts. crypto/tls has a type of its own for them, which it keeps
// to itself, with the texts of [tls.AlertError].
func alerted(err error, alerts ...tls.AlertError) bool {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return false
	}
	return slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return a.Error() == remote.Err.Error() })
}

// offered are the names of the suites that the client offers: those named, or else Go's own, of TLS 1.2, and all of TLS 1.3,
// where none can be chosen.
func (t *TLS) offered() []string {
	var names []string
	if t.MinVersion < tls.VersionTLS13 {
		for _, id := range t.CipherSuites {
			names = append(names, tls.CipherSuiteName(id))
		}
	}
	chosen := names != nil
	for _, s := range tls.CipherSuites() {
		newest := slices.Max(s.SupportedVersions)
		if newest == tls.VersionTLS13 || newest >= t.MinVersion && !chosen {
			names = append(names, s.Name)
		}
	}
	return names
}

// nameAdvice says which names a certificate has, and what to do with them.
func nameAdvice(cert *x509.Certificate) string {
	names := hostNames(cert)
	if len(names) == 0 {
		return fmt.Sprintf("the certificate names no host in its Subject Alternative Name, and its Common Name %q is not enough: "+
			"it must be reissued", cert.Subject.CommonName)
	}
	text := "the certificate is for " + CertificateNames(cert)
	for _, name := range names {
		if serves(cert, name) {
			return text + ": use one of these as host, or set server_name = " + name
		}
	}
	if i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "*.") }); i >= 0 {
		return text + ": use a name that fits " + names[i] + " as host, or as server_name"
	}
	return text + ": it must be reissued, with IP addresses as IP entries"
}

// serves reports whether the certificate holds for one of its names as it stands. It does not for a pattern, and not for an
// address among the DNS names.
func serves(cert *x509.Certificate, name string) bool {
	return !strings.Contains(name, "*") && cert.VerifyHostname(name) == nil
}

// CertificateNames lists the names and addresses that a certificate is for, "" where there are none. Of more than ten it
// counts the others: there are certificates for thousands.
func CertificateNames(cert *x509.Certificate) string {
	const listed = 10
	names := hostNames(cert)
	if more := len(names) - listed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:listed], ", "), more)
	}
	return strings.Join(names, ", ")
}

// hostNames are the names and addresses that a certificate is for. One that could not be a host's is quoted.
func hostNames(cert *x509.Certificate) []string {
	var names []string
	for _, name := range cert.DNSNames {
		if quoted := strconv.Quote(name); quoted[1:len(quoted)-1] != name {
			name = quoted
		}
		names = append(names, name)
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// validity says when a certificate holds, whose it is (the server's, or one above it), and what to do.
func validity(cert *x509.Certificate) string {
	text := fmt.Sprintf("the certificate of %s is valid from %s to %s", cert.Subject,
		cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	if cert.IsCA {
		return text + ": the server, or ca_certs, needs this CA's renewed certificate"
	}
	return text + ": it must be renewed, unless this machine's clock is wrong"
}
