package tests

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/mock"
)

// alterer is a server that has a key manager answer, and alters one answer.
type alterer struct {
	address string
	client  *tls.Config
	server  string
	keys    [][]byte
	ids     []string

	mu      sync.Mutex
	random  *rand.Rand  // nil to alter nothing
	way     *alteration // nil for any
	after   int         // replies to let pass
	passed  int         // replies that passed
	altered bool
	how     string
	was, is []byte   // the reply that was altered
	replies [][]byte // earlier ones
}

func newAlterer(t *testing.T, pki *mock.PKI, server *mock.Server) *alterer {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pki.Server}})
	require.NoError(t, err)
	a := &alterer{address: listener.Addr().String(), server: server.Addr()}
	a.client = &tls.Config{Certificates: []tls.Certificate{pki.Client}, RootCAs: pki.Roots}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { a.converse(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wait.Wait()
	})
	return a
}

// arm has one reply of those to come altered.
func (a *alterer) arm(random *rand.Rand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.random, a.way, a.after, a.passed, a.altered, a.how = random, nil, 0, 0, false, ""
	if random.IntN(3) == 0 {
		a.after = random.IntN(3)
	}
}

// disarm ends that, and reports whether a reply was altered, and whether in the bytes of a key alone.
func (a *alterer) disarm() (altered, excused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.random = nil
	return a.altered, a.altered && a.inKeys(a.was, a.is)
}

func (a *alterer) converse(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	upstream, err := tls.Dial("tcp", a.server, a.client)
	if err != nil {
		return // and the client sees a server that hangs up
	}
	defer upstream.Close()
	for relay(conn, upstream) == nil {
		reply, err := readMessage(upstream)
		if err != nil {
			return
		}
		altered := a.pass(reply)
		if _, err := conn.Write(altered); err != nil || !whole(altered) {
			return // nothing more will come that the client could wait for
		}
	}
}

// whole reports whether a reply is as long as it says.
func whole(reply []byte) bool {
	return len(reply) >= 8 && int(binary.BigEndian.Uint32(reply[4:]))+8 == len(reply)
}

// pass is the reply as the client gets it.
func (a *alterer) pass(reply []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.replies = append(a.replies, reply)
	if len(a.replies) > 64 {
		a.replies = a.replies[32:]
	}
	if a.random == nil || a.altered {
		return reply
	}
	if a.after--; a.after >= 0 {
		a.passed++
		return reply
	}
	way := a.way
	if way == nil {
		way = &alterations[a.random.IntN(len(alterations))]
	}
	altered := way.do(a, slices.Clone(reply))
	a.altered, a.how, a.was, a.is = true, way.name, slices.Clone(reply), slices.Clone(altered)
	return altered
}

// armBeside has the last alteration done once more, but for what it did to the bytes of keys. It reports whether it did
// anything to those, in their place.
func (a *alterer) armBeside() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, kept := a.was, slices.Clone(a.is)
	if len(was) != len(kept) {
		return false
	}
	a.eachKey(was, func(at, end int) { copy(kept[at:end], was[at:end]) })
	if bytes.Equal(kept, a.is) {
		return false
	}
	a.random, a.after, a.passed, a.altered = rand.New(rand.NewPCG(0, 0)), a.passed, 0, false
	a.way = &alteration{a.how, func(_ *alterer, b []byte) []byte {
		for i := range min(len(b), len(kept)) {
			if kept[i] != was[i] {
				b[i] = kept[i]
			}
		}
		return b
	}}
	return true
}

// inKeys reports whether two replies differ in nothing but the bytes of keys.
func (a *alterer) inKeys(reply, altered []byte) bool {
	if len(reply) != len(altered) {
		return false
	}
	masked := func(b []byte) []byte {
		b = slices.Clone(b)
		a.eachKey(reply, func(at, end int) { clear(b[at:end]) })
		return b
	}
	return bytes.Equal(masked(reply), masked(altered))
}

// eachKey calls found for every key in a reply.
func (a *alterer) eachKey(reply []byte, found func(at, end int)) {
	for _, key := range a.keys {
		if at := bytes.Index(reply, key); at >= 0 {
			found(at, at+len(key))
		}
	}
}

// alteration is a way of altering a reply.
type alteration struct {
	name string
	do   func(a *alterer, reply []byte) []byte
}

var alterations = []alteration{
	{"a byte", func(a *alterer, b []byte) []byte {
		b[a.random.IntN(len(b))] ^= byte(1 + a.random.IntN(255))
		return b
	}},
	{"a bit", func(a *alterer, b []byte) []byte {
		b[a.random.IntN(len(b))] ^= 1 << a.random.IntN(8)
		return b
	}},
	{"some bytes", func(a *alterer, b []byte) []byte {
		for range 2 + a.random.IntN(15) {
			b[a.random.IntN(len(b))] = byte(a.random.Uint32())
		}
		return b
	}},
	{"a run of bytes", func(a *alterer, b []byte) []byte {
		at := a.random.IntN(len(b))
		for i := at; i < min(len(b), at+64); i++ {
			b[i] = byte(a.random.Uint32())
		}
		return b
	}},
	{"a byte of every key", func(a *alterer, b []byte) []byte {
		a.eachKey(slices.Clone(b), func(at, end int) { b[at+a.random.IntN(end-at)]++ })
		return b
	}},
	{"a cut", func(a *alterer, b []byte) []byte { return b[:a.random.IntN(len(b))] }},
	{"a cut that the length agrees with", func(a *alterer, b []byte) []byte {
		b = b[:8+a.random.IntN(len(b)-8)&^7]
		binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
		return b
	}},
	{"an earlier reply", func(a *alterer, _ []byte) []byte { return slices.Clone(a.replies[a.random.IntN(len(a.replies))]) }},
	{"an item left out", structural(func(a *alterer, parent *item, i int) { parent.fields = slices.Delete(parent.fields, i, i+1) })},
	{"an item twice", structural(func(a *alterer, parent *item, i int) {
		parent.fields = slices.Insert(parent.fields, a.random.IntN(len(parent.fields)+1), parent.fields[i])
	})},
	{"items in another order", structural(func(a *alterer, parent *item, i int) {
		j := a.random.IntN(len(parent.fields))
		parent.fields[i], parent.fields[j] = parent.fields[j], parent.fields[i]
	})},
	{"an item from elsewhere", structural(func(a *alterer, parent *item, i int) {
		other := parseItems(a.replies[a.random.IntN(len(a.replies))])[0].all()
		parent.fields[i] = other[a.random.IntN(len(other))]
	})},
	{"the same item from elsewhere", structural(func(a *alterer, parent *item, i int) {
		for _, other := range parseItems(a.replies[a.random.IntN(len(a.replies))])[0].all() {
			if other.tag == parent.fields[i].tag && other.tag != tagKeyMaterial && !slices.ContainsFunc(other.all(), isKeyMaterial) {
				parent.fields[i] = other
			}
		}
	})},
	{"another tag", structural(func(a *alterer, parent *item, i int) { parent.fields[i].tag = 0x420000 | a.random.Uint32N(0x130) })},
	{"another type", structural(func(a *alterer, parent *item, i int) { parent.fields[i].kind = byte(a.random.IntN(13)) })},
	{"another number", structural(func(a *alterer, parent *item, i int) {
		if f := parent.fields[i]; len(f.value) == 4 || len(f.value) == 8 {
			f.value = slices.Clone(f.value)
			f.value[len(f.value)-1] = byte(a.random.IntN(40))
		}
	})},
	{"another object's identifier", structural(func(a *alterer, parent *item, i int) {
		for _, f := range parent.fields {
			if f.tag == tagUniqueIdentifier {
				f.value = []byte(a.ids[a.random.IntN(len(a.ids))])
			}
		}
	})},
	{"another batch count", structural(func(a *alterer, parent *item, i int) {
		for _, f := range parent.fields {
			if f.tag == tagBatchCount {
				f.value = binary.BigEndian.AppendUint32(nil, a.random.Uint32()>>a.random.IntN(32))
			}
		}
	})},
	{"deep nesting", structural(func(a *alterer, parent *item, i int) {
		for range 1 << a.random.IntN(9) {
			parent.fields[i] = &item{tag: parent.fields[i].tag, kind: 1, fields: []*item{parent.fields[i]}}
		}
	})},
	{"a field a thousand times", structural(func(a *alterer, parent *item, i int) {
		parent.fields = slices.Insert(parent.fields, i, slices.Repeat(parent.fields[i:i+1], 1000)...)
	})},
	{"a long text", structural(func(a *alterer, parent *item, i int) {
		if f := parent.fields[i]; f.kind == 7 {
			f.value = bytes.Repeat([]byte("long "), 20000)
		}
	})},
	{"a length of its own", func(a *alterer, b []byte) []byte {
		lengths := []uint32{0, 1, 8, 1 << 16, 4<<20 - 8, 1<<31 - 1, 1 << 31, 0xFFFFFFF8, 0xFFFFFFFF}
		at := 8*a.random.IntN(len(b)/8) + 4
		binary.BigEndian.PutUint32(b[at:], lengths[a.random.IntN(len(lengths))])
		return b
	}},
}

// fourMillion is as much as a client takes: over and over some field of the reply, where it stands, or an empty batch item,
// or one that says no more than that it succeeded.
var fourMillion = &alteration{"four million bytes of items", func(a *alterer, b []byte) []byte {
	message := parseItems(b)[0]
	filling := &item{tag: tagBatchItem, kind: 1}
	switch a.random.IntN(4) {
	case 0:
	case 1:
		filling.fields = []*item{{tag: tagResultStatus, kind: 5, value: make([]byte, 4)}}
	default:
		return structural(func(_ *alterer, parent *item, i int) {
			times := (4<<20 - len(b)) / len(parent.fields[i].bytes())
			parent.fields = slices.Insert(parent.fields, i, slices.Repeat(parent.fields[i:i+1], times)...)
		})(a, b)
	}
	message.fields = append(message.fields, slices.Repeat([]*item{filling}, (4<<20-len(b))/len(filling.bytes()))...)
	return message.bytes()
}}

const (
	tagBatchCount       = 0x42000d
	tagBatchItem        = 0x42000f
	tagKeyMaterial      = 0x420043
	tagResultStatus     = 0x42007f
	tagUniqueIdentifier = 0x420094
)

func isKeyMaterial(i *item) bool { return i.tag == tagKeyMaterial }

// structural alters the field with that number of some structure.
func structural(alter func(a *alterer, parent *item, i int)) func(*alterer, []byte) []byte {
	return func(a *alterer, b []byte) []byte {
		message := parseItems(b)[0]
		structures := slices.DeleteFunc(message.all(), func(i *item) bool { return len(i.fields) == 0 })
		parent := structures[a.random.IntN(len(structures))]
		alter(a, parent, a.random.IntN(len(parent.fields)))
		return message.bytes()
	}
}
