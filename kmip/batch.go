package kmip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Batch is a list of operations that travel as one message and run in order. An operation without an identifier is
// about the ID Placeholder: the object that was made or found by the one before it (section 4). Every answer is checked
// against the object it should be about, since there are servers whose placeholder is somebody else's object.
type Batch struct {
	// Continue asks the server to go on after an operation that failed, where it would stop.
	Continue bool
	// Bounded asks the server to refuse the batch as ResponseTooLarge where its answer would have more than MaxResponse
	// bytes.
	Bounded bool
	items   []item
}

type item struct {
	operation Operation
	payload   Payload
	deliver   func(Payload, error)
}

// Result is what became of one operation of a batch. Response is nil where Err is not.
type Result[R any] struct {
	Response *R
	Err      error
}

// ErrNotRun is the result of an operation that the server did not come to, since one before it failed.
var ErrNotRun error = notRun{}

type notRun struct{}

func (notRun) Error() string { return "kmip: not run, since an operation before it failed" }

// Add appends an operation and returns where its result will be.
func Add[R any](b *Batch, request Request[R]) *Result[R] {
	if makes, ok := any(request).(interface{ number() }); ok {
		makes.number()
	}
	result := &Result[R]{Err: ErrNotRun}
	b.items = append(b.items, item{request.Operation(), request, func(p Payload, err error) {
		result.Response, _ = any(p).(*R)
		result.Err = err
	}})
	return result
}

// about is a payload with one object's identifier: a request about the object, or an answer about it.
type about interface{ uniqueIdentifier() *string }

// Run sends the batch and delivers each operation's result. The error is nil when the server answered, whatever became
// of the operations; a *ResultError when it refused the message as a whole; else a *TransportError, *BadResponseError or
// *VersionError, and where nothing could be sent a *CredentialsError or *ttlv.Error. What was sent is sent again only where
// that can do no harm: nothing had left this side, or every operation is safe to repeat. To a server that takes no batches
// the operations go one by one.
func (c *Client) Run(ctx context.Context, b *Batch) error {
	if c.single && len(b.items) > 1 {
		return c.runSingly(ctx, b, 0, "")
	}
	response, err := c.retried(ctx, b)
	if err != nil {
		return b.mark(err)
	}
	if b.mayGoSingly(response) {
		return c.runSingly(ctx, b, 0, "")
	}
	if refused := response.refusal(); refused != nil && (len(b.items) > 1 || refused.Operation == 0) {
		return refused
	}
	placeholder := b.deliver(response, c.server, "")
	// A server may stop early although nothing failed, or although it was told to go on: the rest goes singly.
	if answered := len(response.Items); answered < len(b.items) && (b.Continue || response.Items[answered-1].Status == StatusSuccess) {
		return c.runSingly(ctx, b, answered, placeholder)
	}
	return nil
}

// mayGoSingly reports whether a server may have refused the message for its being a batch: as a whole, or each item that it came
// to.
func (b *Batch) mayGoSingly(m *ResponseMessage) bool {
	if len(b.items) < 2 {
		return false
	}
	refused := m.refusal()
	return refused != nil && refused.Reason.aboutBatches() || !slices.ContainsFunc(m.Items, func(i ResponseItem) bool {
		return i.Status != StatusFailed || i.Reason != FeatureNotSupported
	})
}

// runSingly runs the operations from the given one on in messages of their own, with the ID Placeholder filled in here. A
// server that takes those is not sent batches any more.
func (c *Client) runSingly(ctx context.Context, b *Batch, from int, placeholder string) error {
	defer c.Pin(c.pinned)
	for i := from; i < len(b.items); i++ {
		c.Pin(c.pinned || placeholder != "") // which is this host's
		one := Batch{items: b.items[i : i+1]}
		if target, ok := one.items[0].payload.(about); ok && *target.uniqueIdentifier() == "" {
			if placeholder == "" {
				continue // as it began: not run
			}
			*target.uniqueIdentifier() = placeholder
		}
		response, err := c.retried(ctx, &one)
		if err != nil {
			return one.mark(err)
		}
		if refused := response.refusal(); refused != nil && refused.Operation == 0 {
			one.items[0].deliver(nil, refused)
		} else {
			c.single = c.single || response.Items[0].Reason != FeatureNotSupported
			placeholder = one.deliver(response, c.server, placeholder)
		}
		if response.Items[0].Status != StatusSuccess && !b.Continue {
			return nil
		}
	}
	return nil
}

// retried sends the batch until there is a response, or no sense in sending it again.
func (c *Client) retried(ctx context.Context, b *Batch) (*ResponseMessage, error) {
	for again := c.Attempts(); ; {
		response, err := c.failover(ctx, b, func(ctx context.Context) (*ResponseMessage, error) { return c.negotiated(ctx, b) })
		if err == nil || !b.worthRetrying(err) || !again.Next(ctx) {
			return response, err
		}
	}
}

// worthRetrying reports whether sending the batch again, to the same hosts, makes sense and does no harm.
func (b *Batch) worthRetrying(err error) bool { return b.mayResend(err) && !isPermanent(err) }

// mayResend is the one place that decides whether a batch may be sent again, to whichever host.
func (b *Batch) mayResend(err error) bool {
	var lost *TransportError
	var bad *BadResponseError
	switch {
	case errors.As(err, &lost):
		return !lost.Sent || b.safe()
	case errors.As(err, &bad):
		return b.safe()
	}
	return false
}

func (b *Batch) safe() bool {
	for i := range b.items {
		if !b.items[i].operation.SafeToRepeat() {
			return false
		}
	}
	return true
}

// carriesObject reports whether an object's value is in the request.
func (b *Batch) carriesObject() bool {
	return slices.ContainsFunc(b.items, func(i item) bool { return i.operation == OpRegister })
}

// mark notes on a failed conversation whether the batch may have had an effect.
func (b *Batch) mark(err error) error {
	var lost *TransportError
	var bad *BadResponseError
	switch {
	case errors.As(err, &lost):
		lost.MaybeExecuted = lost.Sent && !b.safe()
	case errors.As(err, &bad):
		bad.MaybeExecuted = !b.safe()
	}
	return err
}

// message is the batch as a request.
func (b *Batch) message(v Version, credentials []Credential) *RequestMessage {
	m := &RequestMessage{Header: RequestHeader{Version: v, Credentials: credentials}}
	m.Items = make([]RequestItem, len(b.items))
	for i := range b.items {
		m.Items[i] = RequestItem{Operation: b.items[i].operation, ID: itemID(i, len(b.items)), Payload: b.items[i].payload}
	}
	if b.Bounded {
		m.Header.MaxResponseSize = MaxResponse
	}
	if len(b.items) == 1 {
		return m
	}
	if b.Continue {
		m.Header.ErrorContinuation = BatchContinue
	}
	// Before 2.0 a server may choose the order unless it is told (section 6.12): it may Activate what is yet to be created, and
	// give its answers in another order than that in which they are looked for here.
	m.Header.Ordered = true
	return m
}

// itemID numbers the items of a batch of more than one (section 6.4).
func itemID(i, of int) []byte {
	if of == 1 {
		return nil
	}
	return binary.BigEndian.AppendUint16(nil, uint16(i+1))
}

// check checks a response against the batch: every answer is to the operation in its place, and there are no more answers
// than operations. A refusal of the whole message is one failed item.
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
	return nil
}

func (b *Batch) checkItem(i int, answer *ResponseItem) error {
	asked := b.items[i].operation
	if answer.Operation != asked && (answer.Operation != 0 || answer.Status == StatusSuccess) {
		return fmt.Errorf("an answer to %v for %v", answer.Operation, asked)
	}
	if id := itemID(i, len(b.items)); id != nil && string(answer.ID) != string(id) {
		return fmt.Errorf("another batch item than %x", id)
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

// aboutMessage reports whether the reason is about the message and not about an operation.
func (r ResultReason) aboutMessage() bool {
	return r == InvalidMessage || r == UnsupportedProtocolVersion
}

// aboutBatches reports whether a server may refuse a message for that reason because it is a batch.
func (r ResultReason) aboutBatches() bool {
	return r == InvalidMessage || r == FeatureNotSupported || r == OperationNotSupported || r == InvalidField
}

func (i *ResponseItem) err() *ResultError {
	return &ResultError{Operation: i.Operation, Reason: i.Reason, Message: i.Message}
}

// deliver gives the operations that were answered their results, and returns the ID Placeholder after them.
func (b *Batch) deliver(m *ResponseMessage, server, placeholder string) string {
	for i := range m.Items {
		answer := &m.Items[i]
		if answer.Status != StatusSuccess {
			b.items[i].deliver(nil, answer.err())
			continue
		}
		if err := b.items[i].verify(answer.Payload, placeholder); err != nil {
			b.items[i].deliver(nil, &BadResponseError{Server: server, Err: err, MaybeExecuted: !answer.Operation.SafeToRepeat()})
			continue
		}
		placeholder = placeholderAfter(answer.Payload, placeholder)
		b.items[i].deliver(answer.Payload, nil)
	}
	return placeholder
}

// verify checks an answer's object against the one asked about. What was made must have an identifier.
func (i *item) verify(answer Payload, placeholder string) error {
	if id, makes := made(answer); makes && id == "" {
		return fmt.Errorf("%v gave no identifier", i.operation)
	}
	target, ok := i.payload.(about)
	if !ok {
		return nil
	}
	want := *target.uniqueIdentifier()
	if want == "" {
		want = placeholder
	}
	if got, ok := answer.(about); !ok || *got.uniqueIdentifier() != want || want == "" {
		return fmt.Errorf("the answer to %v of %q is about another object", i.operation, want)
	}
	return nil
}

// placeholderAfter is the ID Placeholder after an answer: the object made, the only one found, or else what it was before.
func placeholderAfter(answer Payload, before string) string {
	if id, makes := made(answer); makes {
		return id
	}
	located, ok := answer.(*LocateResponse)
	switch {
	case !ok:
		return before
	case len(located.UniqueIdentifiers) == 1:
		return located.UniqueIdentifiers[0]
	}
	return ""
}

// made is the identifier of the object that an answer says was made; makes is false for operations that make none. Half a
// pair counts as no identifier: a request about the other half would be about somebody else's object.
func made(answer Payload) (id string, makes bool) {
	switch r := answer.(type) {
	case *CreateResponse:
		return r.UniqueIdentifier, true
	case *RegisterResponse:
		return r.UniqueIdentifier, true
	case *CreateKeyPairResponse:
		if r.Public == "" {
			return "", true
		}
		return r.Private, true
	}
	return "", false
}
