package kmip

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"
)

// hosts is where a client stands in its list of hosts. It begins with the first, and where one cannot serve it goes on to
// the next and stays there: the first is not tried by every request, but looked for from time to time.
type hosts struct {
	current   int       // the host in use
	connectBy time.Time // when the host in use must be connected, zero where no other is left

	moved   time.Time   // when the client went on, or last looked back
	dialing chan dialed // nil where nobody looks
	stop    context.CancelFunc
}

// failBackAfter is how long a client stays with a host before it looks whether one before it is back.
const failBackAfter = 10 * time.Second

// failover runs try with the host in use and then with each of the others in turn. A host is passed over if the batch did not
// reach it or may safely be sent again, or if it takes no changes; the refusal of such a host is returned if no other
// answers.
func (c *Client) failover(ctx context.Context, b *Batch, try func(context.Context) (*ResponseMessage, error)) (*ResponseMessage, error) {
	if c.pinned && c.server != "" {
		return c.share(ctx, b, 1, try)
	}
	var failed hostErrors
	var refusal *ResponseMessage
	var refuser int // the host that the next request begins with: the first, where none refused
	for left := len(c.config.Hosts); left > 0 && (len(failed) == 0 || ctx.Err() == nil); left-- {
		response, err := c.share(ctx, b, left, try)
		if err != nil && !b.mayResend(err) {
			return nil, err
		}
		if err == nil {
			c.noteChanges(b, response)
			if err = c.refusedChange(b, response, refusal != nil); err == nil {
				c.report(failed)
				return response, nil
			}
			if refusal == nil {
				refusal, refuser = response, c.hosts.current
			}
		}
		failed = append(failed, hostError{c.config.Hosts[c.hosts.current], err})
		c.passOver()
	}
	c.hosts.current = refuser
	if refusal != nil {
		c.switchTo(c.config.Hosts[refuser])
		return refusal, nil
	}
	return nil, c.unreachable(failed)
}

// share gives a host its part of the time, so that none but the last can use up all of it. A change that has been sent is
// waited for half of the time: to give it up early costs more than a repetition, and in the other half it can be found out
// what came of it, or be made elsewhere.
func (c *Client) share(ctx context.Context, b *Batch, left int, try func(context.Context) (*ResponseMessage, error)) (*ResponseMessage, error) {
	c.hosts.connectBy = time.Time{}
	deadline, ok := ctx.Deadline()
	if !ok || len(c.config.Hosts) < 2 {
		return try(ctx)
	}
	rest := time.Until(deadline)
	share := rest / time.Duration(left)
	if left > 1 {
		c.hosts.connectBy = time.Now().Add(share)
	}
	if !b.safe() {
		share = rest / 2
	}
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	return try(ctx)
}

// noteChanges remembers a server that has carried out a change.
func (c *Client) noteChanges(b *Batch, response *ResponseMessage) {
	for i := range response.Items {
		if response.Items[i].Status == StatusSuccess && !b.items[i].operation.SafeToRepeat() {
			c.writes = true
		}
	}
}

// refusedChange is the error of a response by which a read-only node refuses a batch: nothing was changed, for a reason that
// is about what this server does and not about the request (KMIP 2.1 section 11.46: "Client is not allowed to perform the
// specified operation", "The operation requested by the request message is not supported by the server"). Another host may
// be asked then. A server that has carried out a change is no such node, and its refusals are final. So is any other
// reason, except that this host does not know the object, after another one refused to change it.
func (c *Client) refusedChange(b *Batch, response *ResponseMessage, after bool) (refused error) {
	if c.writes || len(c.config.Hosts) < 2 || b.safe() || b.mayGoSingly(response) {
		return nil
	}
	for i := range response.Items {
		item := &response.Items[i]
		switch {
		case b.items[i].operation.SafeToRepeat():
		case item.Reason.isOfReadOnlyNode(), item.Reason == ItemNotFound && after:
			refused = item.err()
		default:
			return nil
		}
	}
	return refused
}

// isOfReadOnlyNode reports whether a server that takes no changes may refuse one for that reason.
func (r ResultReason) isOfReadOnlyNode() bool {
	return r == PermissionDenied || r == OperationNotSupported
}

// MayServeElsewhere reports whether another host may make a change that a client pinned to its host could not: this host takes no
// changes, or cannot be talked to.
func (c *Client) MayServeElsewhere(err error) bool {
	if !c.pinned || len(c.config.Hosts) < 2 {
		return false
	}
	var refused *ResultError
	var lost *TransportError
	if errors.As(err, &refused) {
		return !c.writes && refused.Reason.isOfReadOnlyNode()
	}
	return errors.As(err, &lost)
}

// report tells of the hosts passed over that somebody has to mend.
func (c *Client) report(failed hostErrors) {
	for _, e := range failed {
		var handshake *HandshakeError
		if errors.As(e.err, &handshake) && c.config.PassedOver != nil {
			c.config.PassedOver(e.server, handshake)
		}
	}
}

// passOver goes on to the next host.
func (c *Client) passOver() {
	c.disconnect()
	c.hosts.current = (c.hosts.current + 1) % len(c.config.Hosts)
	c.hosts.moved = time.Now()
}

// Elsewhere pins the client to each of the other hosts in turn and calls ask, until that returns true; the client stays at that
// host, or else goes back to the one that it was at. Each host has its part of the time. missed reports whether one could not
// be reached. A client that is pinned already asks nobody else.
func (c *Client) Elsewhere(ctx context.Context, ask func(context.Context) (known bool)) (missed bool) {
	if len(c.config.Hosts) < 2 {
		return false
	}
	if c.pinned {
		return true
	}
	defer c.Pin(false)
	var failed hostErrors
	for left := len(c.config.Hosts) - 1; left > 0; left-- {
		c.passOver()
		known, err := c.askAlone(ctx, left, ask)
		if known {
			c.report(failed)
			return false
		}
		if err != nil {
			failed = append(failed, hostError{c.config.Hosts[c.hosts.current], err})
		}
	}
	c.passOver()
	c.switchTo(c.config.Hosts[c.hosts.current])
	return len(failed) > 0
}

// askAlone asks the host in use and no other, within its part of the time: it is one of so many that are yet to be asked. The
// error is why it could not be reached.
func (c *Client) askAlone(ctx context.Context, left int, ask func(context.Context) bool) (known bool, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	c.hosts.connectBy = time.Time{}
	err = c.connect(ctx)
	if err != nil && !isTimeout(err) && c.Attempts().Next(ctx) { // it may be starting up
		err = c.connect(ctx)
	}
	if err != nil {
		return false, err
	}
	c.Pin(true)
	return ask(ctx), nil
}

// FailBack goes back to a better host than the one in use, if one has come back. It does not wait: every ten seconds it
// starts to connect in the background, and a later call takes the connection over. Call it between operations, which are
// best served by one host each.
func (c *Client) FailBack() {
	if c.hosts.current == 0 && c.hosts.dialing == nil {
		return
	}
	select {
	case found := <-c.hosts.dialing:
		c.hosts.dialing = nil
		c.takeBack(found)
	default:
		if c.hosts.dialing == nil && time.Since(c.hosts.moved) >= failBackAfter {
			c.dialBack()
		}
	}
}

// dialed is a connection to a better host, or why there is none.
type dialed struct {
	host int
	conn *tls.Conn
	err  hostErrors
}

// dialBack tries the hosts before the one in use, while that serves on.
func (c *Client) dialBack() {
	ctx, cancel := context.WithCancel(context.Background())
	found := make(chan dialed, 1)
	c.hosts.dialing, c.hosts.stop = found, cancel
	config, before := &c.config, c.hosts.current
	go func() { found <- config.firstOf(ctx, before) }()
}

// firstOf connects to the first host, of so many, that can be reached.
func (c *Config) firstOf(ctx context.Context, n int) dialed {
	var failed hostErrors
	for i, address := range c.Hosts[:n] {
		conn, err := c.dial(ctx, address, time.Time{})
		if err == nil {
			return dialed{host: i, conn: conn, err: failed}
		}
		failed = append(failed, hostError{address, err})
	}
	return dialed{err: failed}
}

// takeBack goes over to what was found, unless the client has got there in another way.
func (c *Client) takeBack(found dialed) {
	c.hosts.stop()
	c.hosts.moved = time.Now()
	c.report(found.err)
	if found.conn == nil {
		return
	}
	if found.host >= c.hosts.current {
		found.conn.NetConn().Close()
		return
	}
	c.disconnect()
	c.hosts.current = found.host
	c.adopt(found.conn, c.config.Hosts[found.host])
}

// close ends a look that is under way.
func (h *hosts) close() {
	if h.dialing == nil {
		return
	}
	h.stop()
	if found := <-h.dialing; found.conn != nil {
		found.conn.NetConn().Close()
	}
	h.dialing = nil
}

// unreachable is the one error for hosts of which none served.
func (c *Client) unreachable(failed hostErrors) error {
	if len(failed) == 1 {
		return failed[0].err
	}
	c.reset("")
	e := &TransportError{Err: failed}
	for _, host := range failed {
		var lost *TransportError
		e.Sent = e.Sent || !errors.As(host.err, &lost) || lost.Sent
	}
	return e
}

// hostError is why a host was passed over.
type hostError struct {
	server string
	err    error
}

// text leaves out what the host's name before it says already.
func (e hostError) text() string {
	var lost *TransportError
	var bad *BadResponseError
	switch {
	case errors.As(e.err, &lost):
		return e.server + ": " + lost.Err.Error()
	case errors.As(e.err, &bad):
		return e.server + ": bad response: " + bad.Err.Error()
	}
	return e.server + ": " + strings.TrimPrefix(e.err.Error(), "kmip: ")
}

// hostErrors is why each of several hosts was passed over.
type hostErrors []hostError

func (e hostErrors) Error() string {
	if len(e) == 0 {
		return "there are none"
	}
	texts := make([]string, len(e))
	for i, host := range e {
		texts[i] = host.text()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the errors of the hosts, in order.
func (e hostErrors) Unwrap() []error {
	all := make([]error, len(e))
	for i, host := range e {
		all[i] = host.err
	}
	return all
}
