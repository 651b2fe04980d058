package kmip

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// MaxResponse is the largest response a client takes, in bytes.
const MaxResponse = 4 << 20

// Config is what a client needs to know.
type Config struct {
	Hosts          []string // name:port, in order of preference
	TLS            TLS
	Version        Version // 0 to find one that the server speaks
	Credentials    []Credential
	ConnectTimeout time.Duration // for one connection, TLS handshake included
	MaxRetries     int           // further attempts after the first
	RetryInterval  time.Duration // before the second attempt; it doubles

	// PassedOver is called with a host that cannot serve until somebody mends it, such as one whose certificate has expired,
	// when another host has served in its place. nil for nobody.
	PassedOver func(server string, err *HandshakeError)
}

// Client talks to a key manager over one connection, which it opens when it is needed and keeps. It is for one
// goroutine at a time. Close it after use.
type Client struct {
	config  Config
	caller  *Credential // see As
	pinned  bool        // see Pin
	hosts   hosts
	conn    *tls.Conn
	fresh   bool // nothing has come over the connection yet
	coder   ttlv.Coder
	request []byte         // the last one; its array is used again
	replies [][]byte       // what was given out aliases them: see Forget
	values  []secret.Bytes // of objects that were sent, until Forget: later answers may quote them too

	server  string
	version Version
	settled bool // the server has answered in this version
	single  bool // the server takes one operation a message
	writes  bool // the server has carried out what changes something
}

// NewClient makes a client. It does not connect yet.
func NewClient(config Config) *Client {
	c := &Client{config: config, request: make([]byte, 0, firstRequest)}
	c.reset("")
	return c
}

// firstRequest is the room for requests, in bytes, that a client begins with: enough for all but the largest objects.
const firstRequest = 4096

// reset forgets what was learnt about another server.
func (c *Client) reset(server string) {
	c.server, c.version, c.settled, c.single, c.writes = server, c.versions()[0], false, false, false
}

// switchTo begins with a server, unless it is the one of which something is known.
func (c *Client) switchTo(server string) {
	if server != c.server {
		c.reset(server)
	}
}

// As makes every request carry this credential beside the configured ones, until the next call; nil is for none. The
// credential stays the caller's, to clear when it is not needed any more.
func (c *Client) As(caller *Credential) { c.caller = caller }

// Pin keeps the client to the host that answered last, or lets it go to any again, and returns what it was before. On
// another host the identifiers that it gave may be other objects', or not be known yet.
func (c *Client) Pin(pinned bool) (before bool) {
	before, c.pinned = c.pinned, pinned
	return before
}

// credentials are those that a request carries, all or, where the version has no room for them, an error.
func (c *Client) credentials(v Version) ([]Credential, error) {
	all := c.config.Credentials
	if c.caller != nil {
		all = append(all[:len(all):len(all)], *c.caller)
	}
	if v < sinceSeveral && len(all) > 1 {
		return nil, &CredentialsError{Server: c.server, Version: v, Count: len(all)}
	}
	return all, nil
}

// Server is the host that is connected, or was last: "" before the first connection, and when no host could be reached.
func (c *Client) Server() string { return c.server }

// Version is the version in use: the server's once it has answered.
func (c *Client) Version() Version { return c.version }

// Forget overwrites the requests and responses exchanged so far. What they gave out by alias (key bytes, values) is
// gone then.
func (c *Client) Forget() {
	if c.request = secret.Reuse(c.request[:cap(c.request)]); c.request == nil {
		c.request = make([]byte, 0, firstRequest)
	}
	for _, reply := range c.replies {
		clear(reply)
	}
	clear(c.replies)
	c.replies = c.replies[:0]
	c.values = nil
	if c.conn != nil && !wipeRead(c.conn) {
		c.disconnect()
	}
}

// Close forgets and hangs up.
func (c *Client) Close() error {
	c.Forget()
	c.hosts.close()
	return c.disconnect()
}

func (c *Client) disconnect() error {
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	wipeRead(conn)
	return conn.NetConn().Close() // without a close_notify, which could block: KMIP messages say their own length
}

// Do runs one operation. Errors are those of [Client.Run], and a *ResultError where the server refused the operation.
func Do[R any](ctx context.Context, c *Client, request Request[R]) (*R, error) {
	var b Batch
	result := Add(&b, request)
	if err := c.Run(ctx, &b); err != nil {
		return nil, err
	}
	return result.Response, result.Err
}

// TransportError is a conversation with a server that did not end with a whole reply.
type TransportError struct {
	Server string // "" for all of several hosts
	Sent   bool   // a byte of the request may have reached the server
	Err    error

	// MaybeExecuted tells that the request may have had an effect, and cannot be repeated for that: see
	// [Operation.SafeToRepeat].
	MaybeExecuted bool
}

func (e *TransportError) Error() string {
	server := cmp.Or(e.Server, "any of the hosts")
	if e.Sent {
		return fmt.Sprintf("kmip: no answer from %s: %v", server, e.Err)
	}
	return fmt.Sprintf("kmip: cannot reach %s: %v", server, e.Err)
}

// Unwrap gives the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// BadResponseError is a reply that is whole but cannot be used: not KMIP, or not the answer to what was asked.
type BadResponseError struct {
	Server string
	Err    error

	MaybeExecuted bool // as in TransportError
}

func (e *BadResponseError) Error() string {
	return fmt.Sprintf("kmip: bad response from %s: %v", e.Server, e.Err)
}

// Unwrap gives the cause.
func (e *BadResponseError) Unwrap() error { return e.Err }

// sleep waits, but not beyond the context.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Attempts counts down the further attempts that the configuration allows, with a pause before each that doubles.
type Attempts struct {
	left int
	wait time.Duration
}

// Attempts starts the count, for something that was tried once.
func (c *Client) Attempts() *Attempts { return &Attempts{c.config.MaxRetries, c.config.RetryInterval} }

// lookPause is the shortest pause between two looks at a server that is late.
const lookPause = 100 * time.Millisecond

// Wait waits as long as before the next attempt, but counts none, and reports whether there is time left.
func (a *Attempts) Wait(ctx context.Context) bool { return sleep(ctx, max(a.wait, lookPause)) == nil }

// Next waits for the next attempt, and reports whether there is one.
func (a *Attempts) Next(ctx context.Context) bool {
	if a.left <= 0 || sleep(ctx, a.wait) != nil {
		return false
	}
	a.left--
	a.wait *= 2
	return true
}

// exchange sends the batch once, in the version given or, where that is 0, in the one in use with the server that the
// client then is connected to. It returns a response that fits the batch.
func (c *Client) exchange(ctx context.Context, b *Batch, v Version) (*ResponseMessage, error) {
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	if v == 0 {
		v = c.version
	}
	credentials, err := c.credentials(v)
	if err != nil {
		return nil, err
	}
	c.values = append(c.values, b.values()...)
	if c.request, err = b.message(v, credentials).Append(&c.coder, c.request[:0]); err != nil {
		return nil, err
	}
	reply, err := c.roundTrip(ctx, c.request, len(credentials) > 0 || b.carriesObject())
	if err != nil {
		c.disconnect()
		return nil, err
	}
	c.fresh = false
	c.replies = append(c.replies, reply)
	response, err := c.decode(b, reply)
	if err != nil {
		return nil, err
	}
	c.redact(response, credentials)
	return response, nil
}

// decode is the response in a reply, which must fit the batch.
func (c *Client) decode(b *Batch, reply []byte) (*ResponseMessage, error) {
	response := new(ResponseMessage)
	err := response.Decode(&c.coder, reply)
	if err == nil {
		err = b.check(response)
	}
	if err != nil {
		c.disconnect()
		return nil, &BadResponseError{Server: c.server, Err: err}
	}
	return response, nil
}

// roundTrip writes a request, which may hold a secret, and reads the message that comes back.
func (c *Client) roundTrip(ctx context.Context, request []byte, secret bool) ([]byte, error) {
	stop := bound(ctx, c.conn)
	defer stop()
	if err := write(c.conn, request, secret); err != nil {
		reply, err := c.lastWords(err)
		if err != nil {
			return nil, c.lost(ctx, err)
		}
		return reply, nil
	}
	reply, err := ttlv.ReadMessage(c.conn, ttlv.TagResponseMessage, MaxResponse)
	var bad *ttlv.Error
	switch {
	case errors.As(err, &bad):
		return nil, &BadResponseError{Server: c.server, Err: err}
	case err != nil:
		return nil, c.lost(ctx, err)
	}
	return reply, nil
}

// lastWords is what the server answered before it hung up on a write, or else why: its reason where it gave one, or the write's
// own error.
func (c *Client) lastWords(err error) ([]byte, error) {
	if isTimeout(err) {
		return nil, err
	}
	reply, said := ttlv.ReadMessage(c.conn, ttlv.TagResponseMessage, MaxResponse)
	switch {
	case said == nil:
		return reply, nil
	case isPermanent(explainRefusal(said)):
		return nil, said
	}
	return nil, err
}

// lost is the error of an exchange that broke off. A server that refuses the client's certificate says so, in TLS 1.3,
// where its first answer is expected; what was sent was not executed then.
func (c *Client) lost(ctx context.Context, err error) error {
	err = explainRefusal(inWords(ctx, err))
	return &TransportError{Server: c.server, Sent: !c.fresh || !isPermanent(err), Err: err}
}

// bound makes a connection's reads and writes end with the context. The function returned lifts the bound.
func bound(ctx context.Context, conn net.Conn) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(past())
		close(done)
	})
	return func() {
		if !cancel() {
			<-done // lest it end the next exchange
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// past is a deadline that is over.
func past() time.Time { return time.Unix(1, 0) }

// inWords makes a connection's error say what ended it: the context, or the server.
func inWords(ctx context.Context, err error) error {
	deadline, ok := ctx.Deadline()
	switch {
	case isTimeout(err) && (ctx.Err() != nil || ok && !time.Now().Before(deadline)):
		<-ctx.Done() // the connection's timer may fire just before the context's
		if cause := context.Cause(ctx); cause != context.DeadlineExceeded {
			return cause
		}
		return errLate
	case isClosed(err):
		return &ClosedError{err}
	}
	return err
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// timeoutError says how long was waited. It is a [context.DeadlineExceeded].
type timeoutError string

// errLate is that of a request, or of a host's share in its time.
const errLate timeoutError = "no answer in time"

func (e timeoutError) Error() string { return string(e) }

// Is makes it the error of a context.
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout makes it that of a [net.Error], which is what the context's own is too.
func (timeoutError) Timeout() bool { return true }

// Temporary is there for net.Error.
func (timeoutError) Temporary() bool { return true }

// ClosedError is a connection that the server has closed.
type ClosedError struct{ Err error }

func (*ClosedError) Error() string { return "the server closed the connection" }

// Unwrap gives the cause.
func (e *ClosedError) Unwrap() error { return e.Err }

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
