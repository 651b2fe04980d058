package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// codec measures a Create request written, and a Get response read, beside the same bytes by hand.
func codec(_ *stage, _ counts, t *table) error {
	if err := setBenchTime("10ms"); err != nil {
		return err
	}
	create, err := newCreate()
	if err != nil {
		return err
	}
	get, err := newGetResponse()
	if err != nil {
		return err
	}
	ours, floor := benchInTurns(create.encode, create.floor)
	t.speeds(fmt.Sprintf("TTLV, encode a Create request (%d bytes)", len(create.bytes)), ours, floor, speed{600, 1})
	ours, floor = benchInTurns(get.decode, get.floor)
	t.speeds(fmt.Sprintf("TTLV, decode a Get response (%d bytes)", len(get.bytes)), ours, floor, speed{300, 4})
	return nil
}

// benchInTurns benchmarks two functions in turns, a moment each, and returns the medians.
func benchInTurns(ours, floor func(*testing.B)) (a, b speed) {
	var as, bs []speed
	for range 100 {
		as, bs = append(as, newSpeed(ours)), append(bs, newSpeed(floor))
	}
	return medianFunc(as, speed.compare), medianFunc(bs, speed.compare)
}

// setBenchTime sets how long one benchmark takes, for which package testing has a flag and nothing else.
func setBenchTime(text string) error {
	testing.Init()
	return flag.Set("test.benchtime", text)
}

// speed is that of one operation.
type speed struct{ nanoseconds, allocations int64 }

func newSpeed(f func(*testing.B)) speed {
	r := testing.Benchmark(f)
	return speed{r.NsPerOp(), r.AllocsPerOp()}
}

func (s speed) compare(o speed) int { return cmp.Compare(s.nanoseconds, o.nanoseconds) }

func (s speed) String() string { return fmt.Sprintf("%d ns, %d alloc", s.nanoseconds, s.allocations) }

// within reports whether neither figure is over the limit's.
func (s speed) within(limit speed) bool {
	return s.nanoseconds <= limit.nanoseconds && s.allocations <= limit.allocations
}

// create is what the helper sends to make a key.
type create struct {
	message kmip.RequestMessage
	bytes   []byte
}

const (
	name    = "5d1c2f0e-7a3b-4c58-9d21-8e0f6a7b9c34"
	project = "b7e1c9d2f3a4456789abcdef01234567"
	user    = "0c4e8d7b6a5f49388271605f4e3d2c1b"
	group   = "nova"
)

func newCreate() (*create, error) {
	c := &create{message: kmip.RequestMessage{
		Header: kmip.RequestHeader{Version: kmip.V1_4},
		Items: []kmip.RequestItem{{Operation: kmip.OpCreate, Payload: &kmip.Create{
			ObjectType: kmip.SymmetricKeyObject,
			Attributes: kmip.Attributes{
				kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES),
				kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
				kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt|kmip.UsageDecrypt),
				kmip.NameAttribute(name),
				kmip.ApplicationAttribute("openstack-project-id", project),
				second(kmip.ApplicationAttribute("openstack-user-id", user)),
				kmip.TextAttribute(ttlv.TagObjectGroup, group),
			},
		}}},
	}}
	var err error
	if c.bytes, err = c.message.Append(new(ttlv.Coder), nil); err != nil {
		return nil, err
	}
	if !bytes.Equal(c.bytes, appendCreate(nil)) {
		return nil, errors.New("the Create request and its floor differ")
	}
	return c, nil
}

// second is the second instance of an attribute.
func second(a kmip.Attribute) kmip.Attribute {
	a.Index = 1
	return a
}

// encode writes into a buffer that is there already, as a client does.
func (c *create) encode(b *testing.B) {
	var coder ttlv.Coder
	buf := make([]byte, 0, len(c.bytes))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.message.Append(&coder, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func (c *create) floor(b *testing.B) {
	buf := make([]byte, 0, len(c.bytes))
	b.ReportAllocs()
	for b.Loop() {
		appendCreate(buf)
	}
}

// getResponse is what a key manager answers to a Get.
type getResponse struct{ bytes []byte }

func newGetResponse() (*getResponse, error) {
	key := bytes.Repeat([]byte{0xA5}, 32)
	m := kmip.ResponseMessage{
		Header: kmip.ResponseHeader{Version: kmip.V1_4, TimeStamp: time.Unix(1_700_000_000, 0)},
		Items: []kmip.ResponseItem{{Operation: kmip.OpGet, Payload: &kmip.GetResponse{
			UniqueIdentifier: name,
			Object: kmip.Object{Type: kmip.SymmetricKeyObject, KeyBlock: kmip.KeyBlock{
				Format: kmip.Raw, Material: kmip.BytesMaterial(key), Algorithm: kmip.AES, Length: 256,
			}},
		}}},
	}
	message, err := m.Append(new(ttlv.Coder), nil)
	if err == nil && !bytes.Equal(key, walk(message)) {
		err = errors.New("the floor reads another key from the Get response")
	}
	return &getResponse{message}, err
}

func (g *getResponse) decode(b *testing.B) {
	var coder ttlv.Coder
	var m kmip.ResponseMessage // used again, as its Decode allows
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decode(&coder, g.bytes); err != nil {
			b.Fatal(err)
		}
	}
}

func (g *getResponse) floor(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if walk(g.bytes) == nil {
			b.Fatal("no key")
		}
	}
}
