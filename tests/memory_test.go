package tests

import (
	"bufio"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// needles are secrets to look for in the memory of a process: pieces of each, in every form it could be left in.
type needles struct {
	pieces map[uint64][]needle
	starts []bool // of the pieces, by hash, to pass over most of the memory at one look
}

// needle is a piece of a secret behind its first eight bytes, and what to call it.
type needle struct {
	rest string
	name string
}

func newNeedles() *needles { return &needles{map[uint64][]needle{}, make([]bool, 1<<hashBits)} }

const hashBits = 22

// hash spreads the starts of pieces (Knuth's multiplicative hashing).
func hash(start uint64) uint64 { return start * 0x9E3779B97F4A7C15 >> (64 - hashBits) }

// key looks for eight bytes in a row of a key: raw, in the order that math/big keeps a number in, and in texts of it.
func (n *needles) key(name string, key []byte) {
	n.add(name+", raw", key, 8)
	backwards := slices.Clone(key)
	slices.Reverse(backwards)
	n.add(name+", backwards", backwards, 8)
	n.add(name+", hex", []byte(hex.EncodeToString(key)), 16)
	n.add(name+", HEX", []byte(strings.ToUpper(hex.EncodeToString(key))), 16)
	for skip := range 3 {
		n.add(name+", base64", []byte(base64.RawStdEncoding.EncodeToString(key[skip:])), 12)
		n.add(name+", base64", []byte(base64.RawURLEncoding.EncodeToString(key[skip:])), 12)
	}
}

// add looks for every piece of that length, and in a long text for some hundreds.
func (n *needles) add(name string, text []byte, length int) {
	for i := 0; i+length <= len(text); i += 1 + len(text)/256 {
		piece := text[i : i+length]
		start := binary.LittleEndian.Uint64(piece)
		known := n.pieces[start]
		if rest := string(piece[8:]); !slices.ContainsFunc(known, func(k needle) bool { return k.rest == rest }) {
			n.pieces[start] = append(known, needle{rest, name})
		}
		n.starts[hash(start)] = true
	}
}

// in counts the places where a piece is found, by name. What it reads is this goroutine's alone, and to be watched by the race
// detector byte by byte would take it ten times as long.
//
//go:norace
func (n *needles) in(memory []byte, found map[string]int) {
	for i := 0; i+8 <= len(memory); i++ {
		start := binary.LittleEndian.Uint64(memory[i:])
		if !n.starts[hash(start)] {
			continue
		}
		for _, piece := range n.pieces[start] {
			if strings.HasPrefix(string(memory[i+8:min(len(memory), i+8+len(piece.rest))]), piece.rest) {
				found[piece.name]++
			}
		}
	}
}

// inProcess looks at everything that a process can read and write. It takes root, since the helper lets nobody else.
func (n *needles) inProcess(t *testing.T, pid int) map[string]int {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	require.NoError(t, err)
	defer maps.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	require.NoError(t, err)
	defer memory.Close()
	found, read := map[string]int{}, 0
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uint64
		var mode string
		_, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode)
		require.NoError(t, err, lines.Text())
		if !strings.HasPrefix(mode, "rw") {
			continue
		}
		mapping := make([]byte, to-from)
		count, err := memory.ReadAt(mapping, int64(from))
		require.NoError(t, err, "%s after %d bytes", lines.Text(), count)
		n.in(mapping, found)
		read += count
	}
	require.Greater(t, read, 1<<20)
	return found
}

// TestMemory reads a session's memory behind its last response, and finds no key in it, whichever way the keys went and
// whatever became of them.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.0", "1.4", "2.1"} {
		t.Run("KMIP "+version, func(t *testing.T) {
			h := helper{configs: []string{startMock(t).config}, context: tokens()}.with(t, "kmip_version = "+version)
			memoryStory(t, h, append(samples(t), ofSizes(t)...))
		})
	}
	for _, fault := range []string{"Register:drop-response:2", "Get:truncate=400:2", "Get:truncate=700:2", "Get:garbage:2"} {
		t.Run(fault, func(t *testing.T) {
			memoryStory(t, secretive(t, startMock(t, "--fault", fault)).with(t, "retry_interval = 0.01"), samples(t))
		})
	}
	t.Run("PyKMIP, TLS 1.2", func(t *testing.T) { memoryStory(t, secretive(t, startPyKMIP(t, ecKey(t))), samples(t)[:5]) })
}

func tokens() args { return args{"auth_token": plantedToken, "service_token": plantedService} }

func memoryStory(t *testing.T, h helper, objects []object) {
	session, look := h.session(t), newNeedles()
	look.add("a token", []byte(plantedToken), 12)
	var ids []string
	for _, o := range objects {
		look.object(t, o)
		ids = append(ids, keyID(t, session.ask(t, "store_key", args{"object": o})))
	}
	for _, bits := range []int{128, 256, 512} {
		ids = append(ids, keyID(t, session.ask(t, "create_key", args{"algorithm": "AES", "length": bits})))
	}
	for _, id := range ids {
		o := get(t, session.ask, id)
		o.Name = fmt.Sprint("got ", o.Name)
		look.object(t, o)
		keyID(t, session.ask(t, "copy_key", args{"key_id": id}))
	}
	list(t, session.ask, args{})
	session.refused(t, look)
	look.requireNone(t, session)
}

// TestMemoryOfMessages stores objects whose messages are of many lengths: crypto/tls makes room for each in its own way.
func TestMemoryOfMessages(t *testing.T) {
	t.Parallel()
	session, look := helper{configs: []string{startMock(t).config}}.session(t), newNeedles()
	for bytes := 500; bytes < 9000; bytes += 61 {
		o := object{Type: "opaque", Value: randomHex(t, bytes)}
		look.object(t, o)
		keyID(t, session.ask(t, "store_key", args{"object": o}))
	}
	look.requireNone(t, session)
}

// TestMemoryHoldsNoToken sends tokens to a server, which does not take them.
func TestMemoryHoldsNoToken(t *testing.T) {
	t.Parallel()
	h := helper{configs: []string{startMock(t).config}}.with(t, "mode = integrated", "kmip_version = 1.4")
	look := newNeedles()
	var session *session
	for i, length := range []int{20, 180, 255, 3000, 8000} {
		token, service := randomHex(t, length), randomHex(t, length)
		look.add(fmt.Sprintf("a token of %d bytes", 2*length), []byte(token), 16)
		look.add(fmt.Sprintf("a service token of %d bytes", 2*length), []byte(service), 16)
		h.context = args{"auth_token": token, "service_token": service, "project_id": "p"}
		if i == 0 {
			session = h.session(t)
		}
		session.helper = h
		o := object{Type: "opaque", Value: randomHex(t, 20000)} // behind the tokens in a message
		look.object(t, o)
		require.NotNil(t, session.ask(t, "store_key", args{"object": o}).Error)
		require.NotNil(t, session.ask(t, "list_keys", args{}).Error)
	}
	look.requireNone(t, session)
}

// ofSizes are objects whose messages are in one record of TLS, and in many.
func ofSizes(t *testing.T) (objects []object) {
	for _, bytes := range []int{10, 100, 1100, 3000, 9000, 40000, 200000} {
		objects = append(objects, object{Type: "opaque", Name: "large", Value: randomHex(t, bytes)})
	}
	return objects
}

// refused makes requests that fail with a key in hand.
func (s *session) refused(t *testing.T, look *needles) {
	for _, bits := range []int{128, 255} {
		o := symmetric(32, bits)
		look.object(t, o)
		require.NotNil(t, s.ask(t, "store_key", args{"object": o}).Error)
	}
	o := symmetric(32, 256)
	look.object(t, o)
	require.NotNil(t, s.ask(t, "stash_key", args{"object": o}).Error)
	require.NotNil(t, s.ask(t, "store_key", args{"object": o, "expiration": "never"}).Error)
}

// object looks for what is secret of an object.
func (n *needles) object(t *testing.T, o object) {
	value, err := hex.DecodeString(o.Value.(string))
	require.NoError(t, err)
	name := fmt.Sprintf("%v, %s of %d bytes", o.Name, o.Type, len(value))
	switch o.Type {
	case "public", "certificate":
	case "private":
		parsed, err := x509.ParsePKCS8PrivateKey(value)
		require.NoError(t, err)
		key := parsed.(*rsa.PrivateKey)
		for _, number := range append([]*big.Int{key.D, key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv}, key.Primes...) {
			n.key(name, number.Bytes())
		}
	default:
		n.key(name, value)
	}
}

func (n *needles) requireNone(t *testing.T, s *session) {
	t.Helper()
	found := n.inProcess(t, s.cmd.Process.Pid)
	for name, count := range found {
		t.Logf("%6d pieces of %s", count, name)
	}
	t.Logf("%d pieces looked for, %d found", len(n.pieces), len(found))
	require.Empty(t, found)
}
