package kmip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

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
}

// Client talks to a key manager over one connection, which it opens when it is needed and keeps. It is for one
// goroutine at a time. Close it after use.
type Client struct {
	config  Config
	version Version
	settled bool // the server has answered in this version

	conn    *tls.Conn
	server  string
	coder   ttlv.Coder
	request []byte
	replies [][]byte
	items   []RequestItem
}

// NewClient makes a client. It does not connect yet.
func NewClient(config Config) *Client {
	c := &Client{config: config, version: config.Version, settled: config.Version != 0}
	if !c.settled {
		c.version = Versions()[0]
	}
	return c
}

// Server is the host that is connected, or was last: "" before the first connection.
func (c *Client) Server() string { return c.server }

// Version is the version in use: the server's once it has answered.
func (c *Client) Version() Version { return c.version }

// Forget overwrites the requests and responses exchanged so far. What they gave out by alias (key bytes, values) is
// gone then.
func (c *Client) Forget() {
	clear(c.request[:cap(c.request)])
	for _, reply := range c.replies {
		clear(reply)
	}
	c.replies = c.replies[:0]
}

// Close forgets and hangs up.
func (c *Client) Close() error {
	c.Forget()
	return c.disconnect()
}

func (c *Client) disconnect() error {
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	return conn.NetConn().Close() // without a close_notify, which could block: KMIP messages say their own length
}

// Batch is a list of operations that travel as one message. The server runs them in order; an item without an
// identifier is about the object of the item before it.
type Batch struct {
	// Continue asks the server to go on behind an item that failed, where it would stop.
	Continue bool
	items    []item
}

type item struct {
	operation Operation
	payload   Payload
	deliver   func(Payload, error)
}

// Result is what became of one item of a batch.
type Result[R any] struct {
	Response *R
	Err      error
}

// ErrNotRun is the result of an item that the server did not come to, since one before it failed.
var ErrNotRun error = notRun{}

type notRun struct{}

func (notRun) Error() string { return "kmip: not run, since an operation before it failed" }

// Add appends an operation and returns where its result will be.
func Add[R any](b *Batch, request Request[R]) *Result[R] {
	result := new(Result[R])
	b.items = append(b.items, item{request.Operation(), request, func(p Payload, err error) {
		response, ok := any(p).(*R)
		if err == nil && !ok {
			err = &BadResponseError{Reason: "no payload for " + request.Operation().String()}
		}
		result.Response, result.Err = response, err
	}})
	return result
}

// Do runs one operation.
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
	Server string
	Sent   bool // a byte of the request may have reached the server
	Err    error
}

func (e *TransportError) Error() string {
	if e.Sent {
		return fmt.Sprintf("kmip: no answer from %s: %v", e.Server, e.Err)
	}
	return fmt.Sprintf("kmip: cannot reach %s: %v", e.Server, e.Err)
}

// Unwrap gives the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// BadResponseError is a reply that is whole but cannot be used: not KMIP, or not the answer to what was asked.
type BadResponseError struct {
	Server string
	Reason string
	Err    error
}

func (e *BadResponseError) Error() string {
	text := "kmip: bad response"
	if e.Server != "" {
		text += " from " + e.Server
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *BadResponseError) Unwrap() error { return e.Err }

// Run sends the batch and delivers each item's result. The error is nil when the server answered the message, whatever
// became of the items; a *ResultError when it refused the message as a whole; else a *TransportError or a
// *BadResponseError. What was sent is sent again only where that can do no harm: nothing had left this side, or every
// operation is safe to repeat.
func (c *Client) Run(ctx context.Context, b *Batch) error {
	wait := c.config.RetryInterval
	for attempt := 0; ; attempt++ {
		response, err := c.negotiated(ctx, b)
		if err == nil {
			return b.deliver(response)
		}
		if attempt >= c.config.MaxRetries || !b.repeatable(err) || sleep(ctx, wait) != nil {
			return err
		}
		wait *= 2
	}
}

// repeatable is the one place that decides whether a batch may be sent again.
func (b *Batch) repeatable(err error) bool {
	var lost *TransportError
	if !errors.As(err, &lost) || isPermanent(lost.Err) {
		return false
	}
	return !lost.Sent || b.safe()
}

func (b *Batch) safe() bool {
	for i := range b.items {
		if !b.items[i].operation.SafeToRepeat() {
			return false
		}
	}
	return true
}

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

// message is the batch as a request.
func (c *Client) message(b *Batch, v Version) *RequestMessage {
	c.items = c.items[:0]
	for i := range b.items {
		c.items = append(c.items, RequestItem{Operation: b.items[i].operation, ID: itemID(i, len(b.items)), Payload: b.items[i].payload})
	}
	m := &RequestMessage{Header: RequestHeader{Version: v, Credentials: c.config.Credentials}, Items: c.items}
	if b.Continue && len(b.items) > 1 {
		m.Header.ErrorContinuation = BatchContinue
	}
	return m
}

// itemID numbers the items of a batch of more than one (section 6.4).
func itemID(i, of int) []byte {
	if of == 1 {
		return nil
	}
	return []byte{byte(i + 1)}
}

// exchange sends the batch once, in the version given, and returns a response that fits it.
func (c *Client) exchange(ctx context.Context, b *Batch, v Version) (*ResponseMessage, error) {
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	var err error
	if c.request, err = c.message(b, v).Append(&c.coder, c.request[:0]); err != nil {
		return nil, err
	}
	reply, err := c.roundTrip(ctx, c.request)
	if err != nil {
		c.disconnect()
		return nil, err
	}
	c.replies = append(c.replies, reply)
	response := new(ResponseMessage)
	if err = response.Decode(&c.coder, reply); err == nil {
		err = b.check(response)
	}
	if err != nil {
		c.disconnect()
		return nil, &BadResponseError{Server: c.server, Err: err}
	}
	return response, nil
}

// roundTrip writes a request and reads the message that comes back.
func (c *Client) roundTrip(ctx context.Context, request []byte) ([]byte, error) {
	stop := c.bound(ctx)
	defer stop()
	if _, err := c.conn.Write(request); err != nil {
		return nil, &TransportError{c.server, true, timeoutOf(ctx, explain(err))}
	}
	reply, err := ttlv.ReadMessage(c.conn, ttlv.TagResponseMessage, MaxResponse)
	var bad *ttlv.Error
	switch {
	case errors.As(err, &bad):
		return nil, &BadResponseError{Server: c.server, Err: err}
	case err != nil:
		return nil, &TransportError{c.server, true, timeoutOf(ctx, explain(err))}
	}
	return reply, nil
}

// bound makes the connection's reads and writes end with the context. The function returned lifts the bound.
func (c *Client) bound(ctx context.Context) (stop func()) {
	conn := c.conn
	deadline, _ := ctx.Deadline() // the zero time is no deadline
	_ = conn.SetDeadline(deadline)
	if ctx.Done() == nil {
		return func() {}
	}
	cancel := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() { cancel() }
}

// timeoutOf prefers the context's own words where it was the context that ended an exchange.
func timeoutOf(ctx context.Context, err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			return context.DeadlineExceeded
		}
	}
	return err
}

// check holds a response against the batch: an answer is for the item it names, in order, and there are no more answers
// than items. A refusal of the whole message is one failed item.
func (b *Batch) check(m *ResponseMessage) error {
	if len(m.Items) == 0 || len(m.Items) > len(b.items) {
		return fmt.Errorf("%d batch items for %d", len(m.Items), len(b.items))
	}
	if m.refusal() != nil {
		return nil
	}
	for i := range m.Items {
		if err := b.checkItem(i, &m.Items[i]); err != nil {
			return err
		}
	}
	if last := &m.Items[len(m.Items)-1]; len(m.Items) < len(b.items) && last.Status == StatusSuccess {
		return fmt.Errorf("%d batch items for %d, though none failed", len(m.Items), len(b.items))
	}
	return nil
}

func (b *Batch) checkItem(i int, answer *ResponseItem) error {
	asked := b.items[i].operation
	if answer.Operation != asked && (answer.Operation != 0 || answer.Status == StatusSuccess) {
		return fmt.Errorf("an answer to %v for %v", answer.Operation, asked)
	}
	if id := itemID(i, len(b.items)); id != nil && string(answer.ID) != string(id) {
		return fmt.Errorf("batch item %x where %x was expected", answer.ID, id)
	}
	if answer.Status != StatusSuccess && answer.Status != StatusFailed {
		return fmt.Errorf("result status 0x%X for %v", uint32(answer.Status), asked)
	}
	return nil
}

// refusal is the error of a message that was refused as a whole: one failed item that names no operation, or that says
// that the message was not understood.
func (m *ResponseMessage) refusal() *ResultError {
	first := &m.Items[0]
	if len(m.Items) > 1 || first.Status != StatusFailed || (first.Operation != 0 && !first.Reason.aboutMessage()) {
		return nil
	}
	return first.err()
}

// aboutMessage tells the reasons that speak of the message and not of an operation.
func (r ResultReason) aboutMessage() bool {
	return r == InvalidMessage || r == UnsupportedProtocolVersion
}

func (i *ResponseItem) err() *ResultError {
	return &ResultError{Operation: i.Operation, Reason: i.Reason, Message: i.Message}
}

// deliver gives each item its result.
func (b *Batch) deliver(m *ResponseMessage) error {
	if refused := m.refusal(); refused != nil && (len(b.items) > 1 || refused.Operation == 0) {
		return refused
	}
	for i := range b.items {
		switch {
		case i >= len(m.Items):
			b.items[i].deliver(nil, ErrNotRun)
		case m.Items[i].Status != StatusSuccess:
			b.items[i].deliver(nil, m.Items[i].err())
		default:
			b.items[i].deliver(m.Items[i].Payload, nil)
		}
	}
	return nil
}
