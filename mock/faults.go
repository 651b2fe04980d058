package mock

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kmip-keymgr/kmip"
)

// Action is what a fault does to a request.
type Action int

// The actions.
const (
	Refuse       Action = iota + 1 // close the connection on accept, whatever it would have carried
	DropRequest                    // close before executing
	DropResponse                   // execute, and close without a reply
	Truncate                       // execute, send the first Bytes of the reply, and close
	Delay                          // execute, and hold the reply back
	Garbage                        // execute, send nonsense of the reply's length, and close
	Fail                           // do not execute, and answer with the Reason
)

// Handshake stands in a Fault for TLS's handshake, which comes before any request: its request is the client's hello, its
// reply all that the server says until the handshake is over. It is none of the operations that 0 is for.
const Handshake kmip.Operation = 0xFFFFFFFF

// Fault is something that goes wrong with the next Count requests that ask for Operation: one item of a batch is enough,
// if the server comes to it: after an item that failed, the others of its batch are as if they had not been asked.
//
// Of several faults for one operation the first acts until it is used up, and then the next; but a Delay acts beside
// another fault. Faults for different operations, any being one of them, act together on a request that matches them all.
type Fault struct {
	Operation kmip.Operation // 0 for any
	Action    Action
	Count     int // 0 for once
	Bytes     int
	Delay     time.Duration
	Reason    kmip.ResultReason
}

// ParseFault reads OPERATION:ACTION[:COUNT], where OPERATION may be * for any, or Handshake, and ACTION is refuse,
// drop-request, drop-response, truncate=N, delay=DURATION, garbage or reason=ResultReasonName. The names of operations and
// reasons may be spelt with spaces, as the specification has them.
func ParseFault(text string) (Fault, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return Fault{}, fmt.Errorf("mock: fault %q: not OPERATION:ACTION[:COUNT]", text)
	}
	f := Fault{Count: 1}
	err := f.parseAction(parts[1])
	if err == nil && parts[0] != "*" {
		f.Operation, err = parseOperation(parts[0])
	}
	if err == nil && len(parts) == 3 {
		f.Count, err = positive(parts[2])
	}
	if err == nil && f.Operation == Handshake && f.Action == Fail {
		err = errors.New("a handshake has no result reason")
	}
	if err != nil {
		return Fault{}, fmt.Errorf("mock: fault %q: %w", text, err)
	}
	return f, nil
}

func parseOperation(name string) (kmip.Operation, error) {
	if name == "Handshake" {
		return Handshake, nil
	}
	all := kmip.Operations()
	i := slices.IndexFunc(all, func(o kmip.Operation) bool { return o.String() == unspaced(name) })
	if i < 0 {
		return 0, fmt.Errorf("unknown operation %q; known: *, Handshake and %v", name, all)
	}
	return all[i], nil
}

func unspaced(name string) string { return strings.ReplaceAll(name, " ", "") }

func positive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a positive number", text)
	}
	return n, nil
}

func (f *Fault) parseAction(text string) (err error) {
	name, value, _ := strings.Cut(text, "=")
	switch name {
	case "truncate":
		f.Action = Truncate
		if f.Bytes, err = strconv.Atoi(value); err != nil || f.Bytes < 0 {
			return fmt.Errorf("%q is no number of bytes", value)
		}
		return nil
	case "delay":
		f.Action = Delay
		if f.Delay, err = time.ParseDuration(value); err != nil || f.Delay < 0 {
			return fmt.Errorf("%q is no delay, such as 1.5s", value)
		}
		return nil
	case "reason":
		f.Action = Fail
		f.Reason, err = kmip.ParseResultReason(unspaced(value))
		return err
	}
	return f.parsePlain(text)
}

// parsePlain reads an action that takes no value.
func (f *Fault) parsePlain(text string) error {
	switch text {
	case "refuse":
		f.Action = Refuse
	case "drop-request":
		f.Action = DropRequest
	case "drop-response":
		f.Action = DropResponse
	case "garbage":
		f.Action = Garbage
	default:
		return fmt.Errorf("unknown action %q; known: refuse, drop-request, drop-response, truncate=N, delay=DURATION, garbage and reason=NAME", text)
	}
	return nil
}

// faults are those that still have requests to act on.
type faults struct {
	mu      sync.Mutex
	pending []*Fault
}

func (f *faults) add(more ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range more {
		fault.Count = max(1, fault.Count)
		f.pending = append(f.pending, &fault)
	}
}

// queue is whose turn is waited for: one action at a time acts on an operation, and one delay.
type queue struct {
	operation kmip.Operation
	delay     bool
}

// consume counts down the faults that match, the first of each queue, and hands each to use.
func (f *faults) consume(match func(*Fault) bool, use func(*Fault)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		return
	}
	acted := make(map[queue]bool)
	for _, p := range f.pending {
		if q := (queue{p.Operation, p.Action == Delay}); p.Count > 0 && match(p) && !acted[q] {
			acted[q] = true
			use(p)
			p.Count--
		}
	}
}

// refuse reports whether to close a new connection.
func (f *faults) refuse() (hit bool) {
	f.consume(func(p *Fault) bool { return p.Action == Refuse }, func(*Fault) { hit = true })
	return hit
}

// effect is what all faults together do to one request.
type effect struct {
	dropRequest, dropResponse bool
	garbage                   bool
	truncate                  bool
	bytes                     int
	delay                     time.Duration
	reason                    failing
	of                        []*Fault
}

// failing are the operations that are to fail, and why; the reason under 0 is for all.
type failing map[kmip.Operation]kmip.ResultReason

func (f failing) reason(o kmip.Operation) kmip.ResultReason {
	if r := f[o]; r != 0 {
		return r
	}
	return f[0]
}

// take is the effect of the faults that act on a message with these items.
func (f *faults) take(items []kmip.RequestItem) effect {
	var e effect
	f.consume(func(p *Fault) bool { return p.Action != Refuse && p.asked(items) }, e.join)
	return e
}

// giveBack is the effect as it is once the message has been run as far as these items. What was to befall others is given
// back, for the next request that asks for them.
func (f *faults) giveBack(e effect, ran []kmip.RequestItem) (settled effect) {
	if e.of == nil {
		return e
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range e.of {
		if fault.asked(ran) {
			settled.join(fault)
		} else {
			fault.Count++
		}
	}
	return settled
}

// handshake is the effect of the faults that act on a new connection's handshake.
func (f *faults) handshake() (e effect) {
	f.consume(func(p *Fault) bool { return p.Action != Refuse && p.Operation == Handshake }, e.join)
	return e
}

func (f *Fault) asked(items []kmip.RequestItem) bool {
	return f.Operation == 0 ||
		slices.ContainsFunc(items, func(i kmip.RequestItem) bool { return i.Operation == f.Operation })
}

// join adds one fault to the effect.
func (e *effect) join(f *Fault) {
	e.of = append(e.of, f)
	switch f.Action {
	case DropRequest:
		e.dropRequest = true
	case DropResponse:
		e.dropResponse = true
	case Truncate:
		e.truncate, e.bytes = true, f.Bytes
	case Delay:
		e.delay += f.Delay
	case Garbage:
		e.garbage = true
	case Fail:
		if e.reason == nil {
			e.reason = make(failing)
		}
		e.reason[f.Operation] = f.Reason
	}
}

// spoils reports whether the reply will not be whole, after which the connection is closed.
func (e *effect) spoils() bool { return e.garbage || e.truncate }

// spoil does to the reply what the faults say.
func (e *effect) spoil(reply []byte) []byte {
	if e.garbage {
		for i := range reply {
			reply[i] = "garbage "[i%8]
		}
	}
	if e.truncate {
		reply = reply[:min(e.bytes, len(reply))]
	}
	return reply
}

// handshake is a connection on which TLS shakes hands, with what a fault does to the server's side of that.
type handshake struct {
	net.Conn
	server *Server
	fault  effect
	sent   int
}

var errFault = errors.New("mock: injected fault")

// Write sends what the fault leaves of it. The first answers the client's hello.
func (h *handshake) Write(flight []byte) (n int, err error) {
	switch {
	case h.fault.dropRequest:
		return 0, errFault
	case h.sent == 0:
		h.server.pause(h.fault.delay)
	}
	if h.fault.spoils() {
		n, err = h.writeSpoiled(slices.Clone(flight))
	} else {
		n, err = h.Conn.Write(flight)
	}
	h.sent += n
	return n, err
}

// writeSpoiled fails where TLS is not to go on. The bytes of truncate=N are those of all flights together.
func (h *handshake) writeSpoiled(flight []byte) (int, error) {
	left := h.fault
	left.bytes -= min(h.sent, left.bytes)
	n, err := h.Conn.Write(left.spoil(flight))
	if err == nil && (left.garbage || n < len(flight)) {
		err = errFault
	}
	return n, err
}

// over reports whether the connection ends with the handshake, although that was a success.
func (h *handshake) over() bool { return h.fault.dropResponse || h.fault.spoils() }
