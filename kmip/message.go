package kmip

import (
	"time"

	"kmip-keymgr/ttlv"
)

// RequestMessage is what a client sends (section 7.1).
type RequestMessage struct {
	Header RequestHeader
	Items  []RequestItem
}

// RequestHeader goes before the items (section 7.2). BatchCount is the number of items; Append fills it in.
type RequestHeader struct {
	Version           Version
	MaxResponseSize   int32 // bytes, 0 for any
	ClientCorrelation string
	ServerCorrelation string
	Asynchronous      AsynchronousIndicator
	Credentials       []Credential
	ErrorContinuation BatchErrorContinuation
	Ordered           bool
	TimeStamp         time.Time
	BatchCount        int32
}

// RequestItem is one operation of a request. ID tells items apart; a batch of one needs none.
type RequestItem struct {
	Operation Operation
	ID        []byte
	Payload   Payload
	Extension *MessageExtension
}

// MessageExtension is a vendor's addition to a message (section 6.16). One that is Critical and not understood must fail.
type MessageExtension struct {
	Vendor   string
	Critical bool
	Value    ttlv.Value
}

// Payload is what an operation asks or answers.
type Payload interface{ fields(c *ttlv.Coder) }

// Append writes the message to the end of buf with the given coder.
func (m *RequestMessage) Append(c *ttlv.Coder, buf []byte) ([]byte, error) {
	m.Header.BatchCount = int32(len(m.Items))
	c.Version = uint16(m.Header.Version)
	return c.Append(buf, ttlv.TagRequestMessage, m.fields)
}

// Decode reads a request, which it then aliases.
func (m *RequestMessage) Decode(c *ttlv.Coder, msg []byte) error {
	return c.Decode(msg, ttlv.TagRequestMessage, func(c *ttlv.Coder) {
		*m = RequestMessage{}
		m.fields(c)
	})
}

func (m *RequestMessage) fields(c *ttlv.Coder) {
	c.Struct(ttlv.TagRequestHeader, m.Header.fields)
	ttlv.List(c, ttlv.TagBatchItem, &m.Items, func(c *ttlv.Coder, tag ttlv.Tag, i *RequestItem) { c.Struct(tag, i.fields) })
	checkCount(c, m.Header.BatchCount, len(m.Items))
}

func (h *RequestHeader) fields(c *ttlv.Coder) {
	h.Version.header(c)
	ttlv.Optional(c, ttlv.TagMaximumResponseSize, &h.MaxResponseSize, (*ttlv.Coder).Int)
	ttlv.Optional(c, ttlv.TagClientCorrelationValue, &h.ClientCorrelation, (*ttlv.Coder).Text)
	ttlv.Optional(c, ttlv.TagServerCorrelationValue, &h.ServerCorrelation, (*ttlv.Coder).Text)
	ttlv.Optional(c, ttlv.TagAsynchronousIndicator, &h.Asynchronous, asynchronous)
	if c.Present(ttlv.TagAuthentication, len(h.Credentials) > 0) {
		c.Struct(ttlv.TagAuthentication, h.authentication)
	}
	ttlv.Optional(c, ttlv.TagBatchErrorContinuationOption, &h.ErrorContinuation, ttlv.Enum[BatchErrorContinuation])
	ttlv.Optional(c, ttlv.TagBatchOrderOption, &h.Ordered, (*ttlv.Coder).Bool)
	ttlv.Optional(c, ttlv.TagTimeStamp, &h.TimeStamp, (*ttlv.Coder).Time)
	c.Int(ttlv.TagBatchCount, &h.BatchCount)
}

// asynchronous is a Boolean in 1.x (section 6.7), and an Enumeration from 2.0 on (KMIP 2.1 section 11.3).
func asynchronous(c *ttlv.Coder, tag ttlv.Tag, v *AsynchronousIndicator) {
	if !is1(c) {
		ttlv.Enum(c, tag, v)
		return
	}
	may := *v != AsynchronousProhibited
	switch c.Bool(tag, &may); {
	case !c.Reading():
	case may:
		*v = AsynchronousOptional
	default:
		*v = AsynchronousProhibited
	}
}

func (h *RequestHeader) authentication(c *ttlv.Coder) {
	ttlv.List(c, ttlv.TagCredential, &h.Credentials, func(c *ttlv.Coder, tag ttlv.Tag, d *Credential) { c.Struct(tag, d.fields) })
}

// header is the version of the message itself. It tells the coder how to read what follows.
func (v *Version) header(c *ttlv.Coder) {
	c.Struct(ttlv.TagProtocolVersion, v.fields)
	if !v.known() {
		c.Fail(ttlv.TagProtocolVersion, "no version %v here", *v)
	}
	c.Version = uint16(*v)
}

func (v *Version) fields(c *ttlv.Coder) {
	major, minor := int32(*v>>8), int32(*v&0xFF)
	c.Int(ttlv.TagProtocolVersionMajor, &major)
	c.Int(ttlv.TagProtocolVersionMinor, &minor)
	if major>>8 != 0 || minor>>8 != 0 {
		c.Fail(ttlv.TagProtocolVersion, "no version %d.%d", major, minor)
		return
	}
	*v = Version(major<<8 | minor)
}

func (i *RequestItem) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagOperation, &i.Operation)
	optionalBytes(c, ttlv.TagUniqueBatchItemID, &i.ID)
	if c.Reading() {
		i.Payload = i.Operation.newRequest()
	}
	if i.Payload != nil {
		c.Struct(ttlv.TagRequestPayload, i.Payload.fields)
	} else {
		unread(c, ttlv.TagRequestPayload)
	}
	if c.Present(ttlv.TagMessageExtension, i.Extension != nil) {
		if i.Extension == nil {
			i.Extension = new(MessageExtension)
		}
		c.Struct(ttlv.TagMessageExtension, i.Extension.fields)
	}
}

func (e *MessageExtension) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagVendorIdentification, &e.Vendor)
	c.Bool(ttlv.TagCriticalityIndicator, &e.Critical)
	c.Value(ttlv.TagVendorExtension, &e.Value)
}

// ResponseMessage is what a server answers (section 7.1).
type ResponseMessage struct {
	Header ResponseHeader
	Items  []ResponseItem
}

// maxItems is how many operations a response may answer: several times what anyone asks in one message, and few enough that
// one of many tiny answers takes no more memory than its bytes.
const maxItems = 4096

// ResponseHeader goes before the items (section 7.2). BatchCount is the number of items; Append fills it in.
type ResponseHeader struct {
	Version           Version
	TimeStamp         time.Time
	ClientCorrelation string
	ServerCorrelation string
	BatchCount        int32
}

// ResponseItem is the answer to one item. Payload is nil where it failed, or where the operation is unknown.
type ResponseItem struct {
	Operation Operation // 0 where the server refused the message as a whole
	ID        []byte
	Status    ResultStatus
	Reason    ResultReason
	Message   string
	Payload   Payload
}

// Append writes the message to the end of buf with the given coder.
func (m *ResponseMessage) Append(c *ttlv.Coder, buf []byte) ([]byte, error) {
	m.Header.BatchCount = int32(len(m.Items))
	c.Version = uint16(m.Header.Version)
	return c.Append(buf, ttlv.TagResponseMessage, m.fields)
}

// Decode reads a response, which it then aliases. The array of Items is used again.
func (m *ResponseMessage) Decode(c *ttlv.Coder, msg []byte) error {
	return c.Decode(msg, ttlv.TagResponseMessage, func(c *ttlv.Coder) {
		*m = ResponseMessage{Items: m.Items[:0]}
		m.fields(c)
	})
}

func (m *ResponseMessage) fields(c *ttlv.Coder) {
	c.Struct(ttlv.TagResponseHeader, m.Header.fields)
	ttlv.List(c, ttlv.TagBatchItem, &m.Items, func(c *ttlv.Coder, tag ttlv.Tag, i *ResponseItem) {
		if len(m.Items) > maxItems {
			c.Fail(tag, "more than %d batch items", maxItems)
		}
		c.Struct(tag, i.fields)
	})
	checkCount(c, m.Header.BatchCount, len(m.Items))
}

func (h *ResponseHeader) fields(c *ttlv.Coder) {
	h.Version.header(c)
	c.Time(ttlv.TagTimeStamp, &h.TimeStamp)
	ttlv.Optional(c, ttlv.TagClientCorrelationValue, &h.ClientCorrelation, (*ttlv.Coder).Text)
	ttlv.Optional(c, ttlv.TagServerCorrelationValue, &h.ServerCorrelation, (*ttlv.Coder).Text)
	c.Int(ttlv.TagBatchCount, &h.BatchCount)
}

func (i *ResponseItem) fields(c *ttlv.Coder) {
	ttlv.Optional(c, ttlv.TagOperation, &i.Operation, ttlv.Enum[Operation])
	optionalBytes(c, ttlv.TagUniqueBatchItemID, &i.ID)
	ttlv.Enum(c, ttlv.TagResultStatus, &i.Status)
	ttlv.Optional(c, ttlv.TagResultReason, &i.Reason, ttlv.Enum[ResultReason])
	ttlv.Optional(c, ttlv.TagResultMessage, &i.Message, (*ttlv.Coder).Text)
	if c.Reading() && i.Status == StatusSuccess {
		i.Payload = i.Operation.newResponse()
	}
	if i.Payload != nil {
		c.Struct(ttlv.TagResponsePayload, i.Payload.fields)
	}
}

// unread passes over the payload of an operation unknown here, which is the server's to refuse.
func unread(c *ttlv.Coder, tag ttlv.Tag) {
	var v ttlv.Value
	if c.Present(tag, false) {
		c.Value(tag, &v)
	}
}

func optionalBytes(c *ttlv.Coder, tag ttlv.Tag, b *[]byte) {
	if c.Present(tag, len(*b) > 0) {
		c.Bytes(tag, b)
	}
	if len(*b) == 0 {
		*b = nil
	}
}

// checkCount checks the header's count against the items that are there.
func checkCount(c *ttlv.Coder, count int32, items int) {
	if c.Reading() && int64(count) != int64(items) {
		c.Fail(ttlv.TagBatchCount, "%d, with %d batch items", count, items)
	}
}
