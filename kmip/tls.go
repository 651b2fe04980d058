package kmip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// TLS says how a client proves who it is and whom it trusts. The server's certificate is always verified.
type TLS struct {
	Certificate  tls.Certificate
	Roots        *x509.CertPool
	ServerName   string   // "" for the host's own name
	MinVersion   uint16   // as in crypto/tls
	CipherSuites []uint16 // of TLS 1.2, nil for Go's secure set
}

// config is the TLS configuration for one host.
func (t *TLS) config(host string) *tls.Config {
	name := t.ServerName
	if name == "" {
		name = host
	}
	return &tls.Config{
		Certificates: []tls.Certificate{t.Certificate},
		RootCAs:      t.Roots,
		ServerName:   name,
		MinVersion:   t.MinVersion,
		CipherSuites: t.CipherSuites,
	}
}

// connect makes sure of a connection: the one that is open, if the server has not left it, or one to the first host that
// can be reached. The error says what every host answered.
func (c *Client) connect(ctx context.Context) error {
	if c.conn != nil && !hungUp(c.conn) {
		return nil
	}
	c.disconnect()
	var failed []error
	for _, address := range c.config.Hosts {
		conn, err := c.dial(ctx, address)
		if err == nil {
			c.conn, c.server = conn, address
			return nil
		}
		failed = append(failed, &TransportError{Server: address, Err: err})
		if ctx.Err() != nil {
			break
		}
	}
	return unreachable(failed)
}

// unreachable is one error for all hosts that failed.
func unreachable(failed []error) error {
	if len(failed) == 1 {
		return failed[0]
	}
	return &TransportError{Server: "any of the hosts", Err: errors.Join(failed...)}
}

// dial connects to one host, within the connection's own timeout.
func (c *Client) dial(ctx context.Context, address string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.ConnectTimeout)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, timeoutOf(ctx, err)
	}
	conn := tls.Client(raw, c.config.TLS.config(host))
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, c.config.TLS.explain(timeoutOf(ctx, err), conn)
	}
	return conn, nil
}

// hungUp tells whether the server has closed a connection that was idle, or said something unasked, which is the same:
// what would be written now could not be answered. It looks without reading.
func hungUp(conn *tls.Conn) bool {
	sys, ok := conn.NetConn().(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return true
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
		return true
	})
	return err != nil || !quiet
}

// HandshakeError is a TLS handshake that failed for a reason that trying again will not mend.
type HandshakeError struct {
	Advice string // what the operator can do
	Err    error
}

func (e *HandshakeError) Error() string { return e.Err.Error() + "; " + e.Advice }

// Unwrap gives the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// isPermanent tells errors that come again however often one tries.
func isPermanent(err error) bool {
	var handshake *HandshakeError
	return errors.As(err, &handshake)
}

// explain says what to do about a handshake that failed.
func (t *TLS) explain(err error, conn *tls.Conn) error {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return &HandshakeError{nameAdvice(name.Certificate), err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &HandshakeError{validity(invalid.Cert), err}
	case errors.As(err, &unknown):
		return &HandshakeError{"ca_certs must hold the CA that issued the server's certificate", err}
	case errors.As(err, &verification):
		return &HandshakeError{"the server's certificate cannot be used", err}
	}
	return t.explainAlert(err)
}

// explainAlert says what to do about the server's own complaints (RFC 8446 section 6.2).
func (t *TLS) explainAlert(err error) error {
	if alert, ok := alertOf(err); ok && (alert == alertHandshakeFailure || alert == alertInsufficientSecurity) {
		return &HandshakeError{"the server accepts none of the suites offered: " + strings.Join(t.offered(), ", ") +
			"; an old server needs its own named in tls_ciphers", err}
	}
	if strings.Contains(err.Error(), "protocol version") {
		return &HandshakeError{"the server speaks no TLS version from tls_min_version on", err}
	}
	return explain(err)
}

// explain says what to do about a server that does not take our certificate; in TLS 1.3 it says so only after the
// handshake.
func explain(err error) error {
	if alert, ok := alertOf(err); ok && alert.aboutCertificate() {
		return &HandshakeError{"the server does not accept the certificate in certfile", err}
	}
	return err
}

// alert is a TLS alert's number (RFC 8446 section 6).
type alert uint8

const (
	alertHandshakeFailure     alert = 40
	alertBadCertificate       alert = 42
	alertCertificateUnknown   alert = 46
	alertUnknownCA            alert = 48
	alertAccessDenied         alert = 49
	alertInsufficientSecurity alert = 71
	alertCertificateRequired  alert = 116
)

func (a alert) aboutCertificate() bool {
	return a >= alertBadCertificate && a <= alertCertificateUnknown || a == alertUnknownCA || a == alertAccessDenied ||
		a == alertCertificateRequired
}

// alertOf is the alert that the server sent.
func alertOf(err error) (alert, bool) {
	var remote *net.OpError
	var sent tls.AlertError
	if errors.As(err, &sent) {
		return alert(sent), true
	}
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return 0, false
	}
	for a := range alert(128) { // crypto/tls keeps the number to itself, but for QUIC, and gives the text
		if tls.AlertError(a).Error() == remote.Err.Error() {
			return a, true
		}
	}
	return 0, false
}

// offered are the names of the suites that the client offers.
func (t *TLS) offered() []string {
	var names []string
	for _, id := range t.CipherSuites {
		names = append(names, tls.CipherSuiteName(id))
	}
	if names == nil {
		for _, s := range tls.CipherSuites() {
			names = append(names, s.Name)
		}
	}
	return names
}

// nameAdvice says which names a certificate has.
func nameAdvice(cert *x509.Certificate) string {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return fmt.Sprintf("the certificate has no Subject Alternative Name, only the Common Name %q, which is not enough: "+
			"it must be issued anew with a Subject Alternative Name", cert.Subject.CommonName)
	}
	return fmt.Sprintf("the certificate is for %s: use one of these as host, or set server_name = %s",
		strings.Join(names, ", "), names[0])
}

// validity says when a certificate holds.
func validity(cert *x509.Certificate) string {
	return fmt.Sprintf("the server's certificate holds from %s to %s",
		cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
}
