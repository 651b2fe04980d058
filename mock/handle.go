package mock

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// session is the conversation with one client: what its messages reuse.
type session struct {
	server   *Server
	peer     tls.ConnectionState
	arrival  arrival
	coder    ttlv.Coder
	request  kmip.RequestMessage
	response kmip.ResponseMessage
	reply    []byte
	ran      int // items of the message that the server came to
}

func newSession(s *Server, peer tls.ConnectionState) *session {
	return &session{server: s, peer: peer, coder: ttlv.Coder{Strict: true}}
}

// rest lets go of what a session need not keep while it waits for the next request, which may never come.
func (s *session) rest() {
	s.request = kmip.RequestMessage{}
	clear(s.response.Items)
	if cap(s.response.Items) > maxKept/64 {
		s.response.Items = nil
	}
	if cap(s.reply) > maxKept {
		s.reply = nil
	}
}

// answer serves one framed message: the reply, which may be none, and whether the connection can go on. This is where
// faults act.
func (s *session) answer(msg []byte) (reply []byte, goOn bool) {
	if err := s.decode(msg); err != nil {
		return s.refuseUnread(msg, err)
	}
	f := s.server.faults.take(s.request.Items)
	if f.dropRequest {
		return nil, false
	}
	reply = s.handle(f.reason)
	f = s.server.faults.giveBack(f, s.request.Items[:s.ran])
	s.server.pause(f.delay)
	if f.dropResponse {
		return nil, false
	}
	return f.spoil(reply), !f.spoils()
}

// decode reads a message that is in a version spoken here.
func (s *session) decode(msg []byte) error {
	err := s.request.Decode(&s.coder, msg)
	if v := s.request.Header.Version; err == nil && !s.server.config.Versions.has(v) {
		err = fmt.Errorf("no KMIP version %v here", v)
	}
	return err
}

// refuseUnread answers a message that cannot be read, under a version that is spoken here and, where one can be told,
// not above the message's own. Where the encoding is broken, the framing is not to be trusted either.
func (s *session) refuseUnread(msg []byte, err error) (reply []byte, goOn bool) {
	v := s.server.config.Versions.nearest(versionOf(msg))
	return s.refuse(v, invalid("%s", err)), ttlv.Check(msg) == nil
}

// versionOf is the version of a message that cannot be read otherwise, 0 where it does not even tell that.
func versionOf(msg []byte) kmip.Version {
	var major, minor int32
	var c ttlv.Coder
	_ = c.Decode(msg, ttlv.TagRequestMessage, func(c *ttlv.Coder) {
		c.Struct(ttlv.TagRequestHeader, func(c *ttlv.Coder) {
			c.Struct(ttlv.TagProtocolVersion, func(c *ttlv.Coder) {
				c.Int(ttlv.TagProtocolVersionMajor, &major)
				c.Int(ttlv.TagProtocolVersionMinor, &minor)
			})
		})
	})
	return kmip.Version(clampByte(major))<<8 | kmip.Version(clampByte(minor))
}

func clampByte(n int32) int32 { return min(max(n, 0), 0xFF) }

// handle runs the message that was decoded and encodes the response. Items of the operations for which fail has a reason
// fail with it.
func (s *session) handle(fail failing) []byte {
	h := &s.request.Header
	now := time.Now()
	s.ran = 0
	err := s.server.acceptable(&s.request, now)
	var client Identity
	if err == nil {
		client, err = s.server.config.Authenticate(s.server.stopping, &s.peer, h.Credentials)
	}
	if err != nil {
		return s.refuse(h.Version, err)
	}
	t := turn{server: s.server, store: &s.server.store, version: h.Version, client: client, now: now, ordered: h.Ordered, room: maxReply}
	s.response.Items = t.run(&s.request, s.response.Items[:0], fail)
	s.ran = len(s.response.Items)
	if err := s.server.inv.write(&s.server.store); err != nil {
		return s.refuse(h.Version, err)
	}
	return s.encode(now)
}

// acceptable checks the header and the batch as a whole (section 7.2).
func (s *Server) acceptable(m *kmip.RequestMessage, now time.Time) error {
	h := &m.Header
	switch {
	case len(m.Items) == 0:
		return invalid("no batch item")
	case h.MaxResponseSize < 0:
		return invalid("Maximum Response Size is negative")
	case h.Asynchronous == kmip.AsynchronousMandatory, h.Asynchronous > kmip.AsynchronousProhibited,
		h.Asynchronous == kmip.AsynchronousOptional && h.Version < kmip.V2_0: // which PyKMIP refuses, too
		return invalid("asynchronous operations are not supported")
	case h.ErrorContinuation > kmip.BatchUndo:
		return invalid("Batch Error Continuation Option 0x%X", uint32(h.ErrorContinuation))
	case h.ErrorContinuation == kmip.BatchUndo:
		return refusal(kmip.FeatureNotSupported, "undoing a batch is not supported")
	case h.Version < sinceCorrelation && h.ClientCorrelation+h.ServerCorrelation != "":
		return invalid("correlation values came with KMIP %v", sinceCorrelation)
	case s.config.NoBatches && len(m.Items) > 1:
		return refusal(kmip.FeatureNotSupported, "batches are not supported")
	}
	return errors.Join(timely(h.TimeStamp, now), credentialsFit(h), itemIDs(m.Items))
}

// timely refuses what comes from the future or is over a minute old, as PyKMIP does.
func timely(stamp, now time.Time) error {
	switch {
	case stamp.IsZero():
		return nil
	case stamp.Unix() > now.Unix():
		return invalid("a request from the future")
	case now.Sub(stamp) > time.Minute:
		return invalid("a stale request")
	}
	return nil
}

// credentialsFit checks the credentials against the version of the message.
func credentialsFit(h *kmip.RequestHeader) error {
	if h.Version < sinceCredentials && len(h.Credentials) > 1 {
		return invalid("%d credentials, where KMIP %v has one", len(h.Credentials), h.Version)
	}
	for i := range h.Credentials {
		if h.Version < sinceDevice && h.Credentials[i].Type == kmip.Device {
			return invalid("Device credentials came with KMIP %v", sinceDevice)
		}
	}
	return nil
}

// itemIDs makes sure that the items of a batch can be told apart (section 6.4).
func itemIDs(items []kmip.RequestItem) error {
	if len(items) == 1 {
		return nil
	}
	seen := make(map[string]bool, len(items))
	for i := range items {
		id := string(items[i].ID)
		if id == "" || seen[id] {
			return invalid("batch item %d has no Unique Batch Item ID of its own", i+1)
		}
		seen[id] = true
	}
	return nil
}

// encode writes the response, or in its place that it is too large (section 6.3).
func (s *session) encode(now time.Time) []byte {
	h := &s.request.Header
	s.response.Header = kmip.ResponseHeader{Version: h.Version, TimeStamp: now, ClientCorrelation: h.ClientCorrelation}
	reply, err := s.response.Append(&s.coder, s.reply[:0])
	s.reply = reply
	forget(s.response.Items)
	if err != nil {
		return s.refuse(h.Version, err)
	}
	if h.MaxResponseSize > 0 && len(reply) > int(h.MaxResponseSize) {
		clear(reply)
		return s.refuseItem(refusal(kmip.ResponseTooLarge, "the response has %d bytes", len(reply)))
	}
	return reply
}

// forget clears the copies of key material that a response held.
func forget(items []kmip.ResponseItem) {
	for i := range items {
		if got, ok := items[i].Payload.(*kmip.GetResponse); ok {
			clearObject(&got.Object)
		}
	}
}

// refuse is a response that refuses the message as a whole: one failed item that names no operation.
func (s *session) refuse(v kmip.Version, err error) []byte {
	return s.failure(v, kmip.ResponseItem{}, err)
}

// refuseItem is a refusal that names the operation where there is only one.
func (s *session) refuseItem(err error) []byte {
	var item kmip.ResponseItem
	if len(s.request.Items) == 1 {
		item = kmip.ResponseItem{Operation: s.request.Items[0].Operation, ID: s.request.Items[0].ID}
	}
	return s.failure(s.request.Header.Version, item, err)
}

func (s *session) failure(v kmip.Version, item kmip.ResponseItem, err error) []byte {
	fail(&item, err, v)
	m := kmip.ResponseMessage{Header: kmip.ResponseHeader{Version: v, TimeStamp: time.Now()}, Items: []kmip.ResponseItem{item}}
	s.reply, _ = m.Append(&s.coder, s.reply[:0]) // cannot fail: no payload
	return s.reply
}

// fail makes an item a failed one. An error without a reason of its own is a General Failure.
func fail(item *kmip.ResponseItem, err error, v kmip.Version) {
	item.Status, item.Reason, item.Message = kmip.StatusFailed, kmip.GeneralFailure, err.Error()
	var refused *kmip.ResultError
	if errors.As(err, &refused) {
		item.Message = refused.Message
	}
	errors.As(err, &item.Reason)
	if v < kmip.V2_0 && !errors.As(err, new(injected)) {
		item.Reason = reasonBefore2(item.Reason)
	}
}

// injected is a refusal by a fault, with the fault's reason whatever the version.
type injected struct{ error }

func (i injected) Unwrap() error { return i.error }

// refusal is a failed operation, as the client will see it.
func refusal(reason kmip.ResultReason, format string, args ...any) error {
	return &kmip.ResultError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refusal(kmip.InvalidMessage, format, args...)
}
