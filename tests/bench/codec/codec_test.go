// Package codec measures how messages are written and read. It is a package of its own, so that the collector has nothing
// else's memory to go through: the tables of the property tests in package kmip alone take a tenth of a decode's time.
package codec

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// The benchmarks stand beside what the same bytes cost when they are written or read by hand, with nothing checked that
// need not be. What is written or read into is kept for the next time, or made anew.

const (
	keyID   = "1f165d65-cbbd-4bd6-9867-80e0b390acf9"
	project = "5c7e0e6bd0f94fb0a3b9a1b5b1f2ee1c"
)

// createRequest is a Create as the key manager sends it, 712 bytes.
func createRequest() *kmip.RequestMessage {
	create := &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES),
		kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
		kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt|kmip.UsageDecrypt),
		kmip.NameAttribute(keyID),
		application(0, "openstack-project-id", project),
		application(1, "openstack-user-id", project),
		kmip.TextAttribute(ttlv.TagObjectGroup, "nova"),
	}}
	return &kmip.RequestMessage{
		Header: kmip.RequestHeader{Version: kmip.V1_4},
		Items:  []kmip.RequestItem{{Operation: kmip.OpCreate, Payload: create}},
	}
}

func application(index int32, namespace, data string) kmip.Attribute {
	a := kmip.ApplicationAttribute(namespace, data)
	a.Index = index
	return a
}

// getResponse is the answer to a Get, 312 bytes.
func getResponse(b *testing.B) []byte {
	get := &kmip.GetResponse{UniqueIdentifier: keyID, Object: kmip.Object{
		Type:     kmip.SymmetricKeyObject,
		Value:    ttlv.BytesValue(make([]byte, 32)),
		KeyBlock: kmip.KeyBlock{Format: kmip.Raw, Algorithm: kmip.AES, Length: 256},
	}}
	m := kmip.ResponseMessage{
		Header: kmip.ResponseHeader{Version: kmip.V1_4, TimeStamp: time.Unix(0x66000000, 0).UTC()},
		Items:  []kmip.ResponseItem{{Operation: kmip.OpGet, Payload: get}},
	}
	msg, err := m.Append(new(ttlv.Coder), nil)
	require.NoError(b, err)
	return msg
}

// writer writes items as a person would who knows the message.
type writer struct{ b []byte }

func (w *writer) word(tag ttlv.Tag, typ ttlv.Type, v uint32) {
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(tag)<<40|uint64(typ)<<32|4)
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)<<32)
}

func (w *writer) text(tag ttlv.Tag, s string) {
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(tag)<<40|uint64(ttlv.TypeTextString)<<32|uint64(len(s)))
	w.b = append(w.b, s...)
	for len(w.b)%8 != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *writer) open(tag ttlv.Tag) int {
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(tag)<<40|uint64(ttlv.TypeStructure)<<32)
	return len(w.b)
}

func (w *writer) close(at int) { binary.BigEndian.PutUint32(w.b[at-4:], uint32(len(w.b)-at)) }

func (w *writer) attribute(name string) int {
	at := w.open(ttlv.TagAttribute)
	w.text(ttlv.TagAttributeName, name)
	return at
}

func (w *writer) header() {
	header := w.open(ttlv.TagRequestHeader)
	version := w.open(ttlv.TagProtocolVersion)
	w.word(ttlv.TagProtocolVersionMajor, ttlv.TypeInteger, 1)
	w.word(ttlv.TagProtocolVersionMinor, ttlv.TypeInteger, 4)
	w.close(version)
	w.word(ttlv.TagBatchCount, ttlv.TypeInteger, 1)
	w.close(header)
}

func (w *writer) value(name string, typ ttlv.Type, v uint32) {
	at := w.attribute(name)
	w.word(ttlv.TagAttributeValue, typ, v)
	w.close(at)
}

func (w *writer) application(index uint32, namespace, data string) {
	at := w.attribute("Application Specific Information")
	if index != 0 {
		w.word(ttlv.TagAttributeIndex, ttlv.TypeInteger, index)
	}
	value := w.open(ttlv.TagAttributeValue)
	w.text(ttlv.TagApplicationNamespace, namespace)
	w.text(ttlv.TagApplicationData, data)
	w.close(value)
	w.close(at)
}

// create is createRequest by hand.
func (w *writer) create() {
	message := w.open(ttlv.TagRequestMessage)
	w.header()
	item := w.open(ttlv.TagBatchItem)
	w.word(ttlv.TagOperation, ttlv.TypeEnumeration, 1)
	payload := w.open(ttlv.TagRequestPayload)
	w.word(ttlv.TagObjectType, ttlv.TypeEnumeration, 2)
	template := w.open(ttlv.TagTemplateAttribute)
	w.value("Cryptographic Algorithm", ttlv.TypeEnumeration, 3)
	w.value("Cryptographic Length", ttlv.TypeInteger, 256)
	w.value("Cryptographic Usage Mask", ttlv.TypeInteger, 12)
	name := w.attribute("Name")
	value := w.open(ttlv.TagAttributeValue)
	w.text(ttlv.TagNameValue, keyID)
	w.word(ttlv.TagNameType, ttlv.TypeEnumeration, 1)
	w.close(value)
	w.close(name)
	w.application(0, "openstack-project-id", project)
	w.application(1, "openstack-user-id", project)
	group := w.attribute("Object Group")
	w.text(ttlv.TagAttributeValue, "nova")
	w.close(group)
	for _, at := range []int{template, payload, item, message} {
		w.close(at)
	}
}

func BenchmarkCreateRequest(b *testing.B) {
	m := createRequest()
	var c ttlv.Coder
	var w writer
	msg, err := m.Append(&c, nil)
	require.NoError(b, err)
	w.create()
	require.Equal(b, msg, w.b)

	encode := func(buffer func() []byte) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Append(&c, buffer()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	floor := func(buffer func() []byte) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.b = buffer()
				w.create()
			}
		}
	}
	buf := make([]byte, 0, len(msg))
	kept := func() []byte { return buf }
	anew := func() []byte { return make([]byte, 0, len(msg)) }
	b.Run("encode", encode(kept)) // as a client does
	b.Run("floor", floor(kept))
	b.Run("encode anew", encode(anew))
	b.Run("floor anew", floor(anew))
}

// reader reads items as a person would who knows the message, and trusts it.
type reader struct{ b []byte }

func (r *reader) enter() { r.b = r.b[8:] }

func (r *reader) next() []byte {
	n := int(binary.BigEndian.Uint32(r.b[4:]))
	v := r.b[8 : 8+n]
	r.b = r.b[8+(n+7)&^7:]
	return v
}

func (r *reader) word() uint32 { return binary.BigEndian.Uint32(r.next()) }

// get is getResponse by hand.
func (r *reader) get(m *kmip.ResponseMessage) {
	p := new(kmip.GetResponse)
	*m = kmip.ResponseMessage{Items: append(m.Items[:0], kmip.ResponseItem{Payload: p})}
	i := &m.Items[0]
	r.enter()
	r.enter()
	r.enter()
	m.Header.Version = kmip.Version(r.word()<<8 | r.word())
	m.Header.TimeStamp = time.Unix(int64(binary.BigEndian.Uint64(r.next())), 0).UTC()
	m.Header.BatchCount = int32(r.word())
	r.enter()
	i.Operation = kmip.Operation(r.word())
	i.Status = kmip.ResultStatus(r.word())
	r.enter()
	p.Object.Type = kmip.ObjectType(r.word())
	p.UniqueIdentifier = string(r.next())
	r.enter()
	r.enter()
	p.Object.KeyBlock.Format = kmip.KeyFormatType(r.word())
	r.enter()
	p.Object.Value = ttlv.BytesValue(r.next())
	p.Object.KeyBlock.Algorithm = kmip.CryptographicAlgorithm(r.word())
	p.Object.KeyBlock.Length = int32(r.word())
}

func BenchmarkGetResponse(b *testing.B) {
	msg := getResponse(b)
	var m, byHand kmip.ResponseMessage
	require.NoError(b, m.Decode(new(ttlv.Coder), msg))
	r := reader{msg}
	r.get(&byHand)
	require.Equal(b, m, byHand)

	decode := func(message func() *kmip.ResponseMessage) func(b *testing.B) {
		return func(b *testing.B) {
			var c ttlv.Coder
			b.ReportAllocs()
			for b.Loop() {
				if err := message().Decode(&c, msg); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	floor := func(message func() *kmip.ResponseMessage) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := reader{msg}
				r.get(message())
			}
		}
	}
	kept := func() *kmip.ResponseMessage { return &m }
	anew := func() *kmip.ResponseMessage { return new(kmip.ResponseMessage) }
	b.Run("decode", decode(kept))
	b.Run("floor", floor(kept))
	b.Run("decode anew", decode(anew)) // as a client does
	b.Run("floor anew", floor(anew))
}
