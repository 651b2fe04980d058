package kmip

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/ttlv"
)

// Every operation in every version, asked and answered, is read as it was written, with nothing left over, and written
// again as it was read.
func TestEveryOperationInEveryVersion(t *testing.T) {
	for _, v := range Versions() {
		for _, op := range Operations() {
			t.Run(v.String()+"/"+op.String(), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					requireRoundTrip(t, someRequest(v, op).Draw(t, "request"))
					requireRoundTrip(t, someResponse(v, op).Draw(t, "response"))
				})
			})
		}
	}
}

func requireRoundTrip(t require.TestingT, m message) []byte {
	c := ttlv.Coder{Strict: true}
	msg, err := m.Append(&c, nil)
	require.NoError(t, err)
	require.NoError(t, ttlv.Check(msg))
	got := empty(m)
	require.NoError(t, got.Decode(&c, msg), "%s", ttlv.Dump(msg))
	require.Equal(t, m, got)
	again, err := got.Append(&c, nil)
	require.NoError(t, err)
	require.Equal(t, msg, again)

	for _, at := range []int{8, len(msg)} {
		got = empty(m)
		require.NoError(t, got.Decode(new(ttlv.Coder), withMore(msg, at)))
		require.Equal(t, m, got)
	}
	return msg
}

// withMore is a message with a field, before or behind all others, that nobody here knows.
func withMore(msg []byte, at int) []byte {
	more := slices.Insert(slices.Clone(msg), at, 0x54, 0xFF, 0xFF, byte(ttlv.TypeTextString), 0, 0, 0, 4, 'm', 'o', 'r', 'e', 0, 0, 0, 0)
	binary.BigEndian.PutUint32(more[4:], uint32(len(more)-8))
	return more
}

// unhex reads hex in lines with comments behind "//".
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "//")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	require.NoError(t, err)
	return b
}

// request is a message of one operation.
func request[R any](v Version, r Request[R]) *RequestMessage {
	return &RequestMessage{Header: RequestHeader{Version: v}, Items: []RequestItem{{Operation: r.Operation(), Payload: r}}}
}

// response is the answer to one operation.
func response(v Version, op Operation, p Payload) *ResponseMessage {
	header := ResponseHeader{Version: v, TimeStamp: time.Unix(0x66000000, 0).UTC()}
	return &ResponseMessage{Header: header, Items: []ResponseItem{{Operation: op, Payload: p}}}
}

func createAES() *Create {
	return &Create{SymmetricKeyObject, Attributes{
		EnumAttribute(ttlv.TagCryptographicAlgorithm, AES),
		IntAttribute(ttlv.TagCryptographicLength, int32(256)),
		IntAttribute(ttlv.TagCryptographicUsageMask, UsageEncrypt|UsageDecrypt),
		NameAttribute("n"),
	}}
}

func rawKey(key ...byte) Object {
	return Object{Type: SymmetricKeyObject, Value: ttlv.BytesValue(key), KeyBlock: KeyBlock{Format: Raw, Algorithm: AES, Length: int32(8 * len(key))}}
}

// A Locate of everything has its Attributes from 2.0 on, though there are none (KMIP 2.1 section 6.1.28).
func TestLocateOfAll(t *testing.T) {
	for _, v := range Versions() {
		msg, err := request(v, &Locate{}).Append(new(ttlv.Coder), nil)
		require.NoError(t, err)
		require.Equal(t, v >= V2_0, bytes.HasSuffix(msg, []byte{0x42, 0x01, 0x25, 1, 0, 0, 0, 0}), v)
	}
}

// TestIndexOfZero: a server may write an Attribute Index that could be left out. What it sent is what it reads again.
func TestIndexOfZero(t *testing.T) {
	name := NameAttribute("n")
	name.zeroth = true
	shown := &GetAttributesResponse{UniqueIdentifier: "1", Attributes: Attributes{name, NameAttribute("o")}}
	sent := encoded(response(V1_4, OpGetAttributes, shown))
	require.Equal(t, 1, bytes.Count(sent, []byte{0x42, 0, 0x09, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0}))
	var m ResponseMessage
	require.NoError(t, m.Decode(new(ttlv.Coder), sent))
	require.Equal(t, shown, m.Items[0].Payload)
	require.Equal(t, sent, encoded(&m))
}

// TestTooManyAttributes: a server could fill the client's memory with a message of them.
func TestTooManyAttributes(t *testing.T) {
	many := Attributes(slices.Repeat([]Attribute{TextAttribute(ttlv.TagObjectGroup, "g")}, maxAttributes+1))
	message, err := new(ttlv.Coder).Append(nil, ttlv.TagAttributes, many.v2)
	require.NoError(t, err)
	require.ErrorContains(t, new(ttlv.Coder).Decode(message, ttlv.TagAttributes, new(Attributes).v2), "more than 8192 attributes")
	_, err = new(ttlv.Coder).Append(nil, ttlv.TagTemplateAttribute, many.v1)
	require.ErrorContains(t, err, "more than 8192 attributes")
}

// TestAttributesAreToldApart: another attribute, or a broken one, would pass for a name or a record of whose the object is.
func TestAttributesAreToldApart(t *testing.T) {
	name := NameAttribute("n")
	broken := TextAttribute(ttlv.TagName, "broken")
	alike := Attribute{AttributeName: AttributeName{Name: "x-name"}, Value: name.Value}
	l := Attributes{broken, alike, name, ApplicationAttribute("theirs", "a"), ApplicationAttribute("ours", "b")}
	require.Equal(t, []string{"n"}, l.Names())
	data, ok := l.ApplicationData("ours")
	require.True(t, ok)
	require.Equal(t, "b", data)
	_, ok = l.ApplicationData("nobody's")
	require.False(t, ok)

	custom := func(name string) Attribute {
		return Attribute{AttributeName: AttributeName{Name: name}, Value: ttlv.TextValue("v")}
	}
	l = Attributes{custom("x-a"), custom("x-b"), custom("x-a")}
	l.number()
	require.Equal(t, []int32{0, 0, 1}, []int32{l[0].Index, l[1].Index, l[2].Index})
}

// TestApplicationWithoutData: a server may leave it out where it is empty.
func TestApplicationWithoutData(t *testing.T) {
	space := "theirs"
	v := ttlv.StructValue(0, func(c *ttlv.Coder) { c.Text(ttlv.TagApplicationNamespace, &space) })
	l := Attributes{attribute(ttlv.TagApplicationSpecificInformation, v)}
	require.Equal(t, []ApplicationInformation{{Namespace: "theirs"}}, l.Applications())
}

func TestGoldens(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    message
		hex  string
	}{
		{"Create request 1.4", request(V1_4, createAES()), `
			420078 01 00000160                            // Request Message
			 420077 01 00000038                           //  Request Header
			  420069 01 00000020                          //   Protocol Version
			   42006A 02 00000004 0000000100000000        //    Major 1
			   42006B 02 00000004 0000000400000000        //    Minor 4
			  42000D 02 00000004 0000000100000000         //   Batch Count 1
			 42000F 01 00000118                           //  Batch Item
			  42005C 05 00000004 0000000100000000         //   Operation Create
			  420079 01 00000100                          //   Request Payload
			   420057 05 00000004 0000000200000000        //    Object Type Symmetric Key
			   420091 01 000000E8                         //    Template-Attribute
			    420008 01 00000030                        //     Attribute
			     42000A 07 00000017 43727970746F6772617068696320416C676F726974686D 00
			     42000B 05 00000004 0000000300000000      //      AES
			    420008 01 00000030
			     42000A 07 00000014 43727970746F67726170686963204C656E677468 00000000
			     42000B 02 00000004 0000010000000000      //      256
			    420008 01 00000030
			     42000A 07 00000018 43727970746F67726170686963205573616765204D61736B
			     42000B 02 00000004 0000000C00000000      //      Encrypt, Decrypt
			    420008 01 00000038
			     42000A 07 00000004 4E616D65 00000000
			     42000B 01 00000020                       //      Name
			      420055 07 00000001 6E 00000000000000    //       Name Value "n"
			      420054 05 00000004 0000000100000000     //       Name Type Uninterpreted Text String`},
		{"Create request 2.1", request(V2_1, createAES()), `
			420078 01 000000D0                            // Request Message
			 420077 01 00000038                           //  Request Header
			  420069 01 00000020                          //   Protocol Version
			   42006A 02 00000004 0000000200000000        //    Major 2
			   42006B 02 00000004 0000000100000000        //    Minor 1
			  42000D 02 00000004 0000000100000000         //   Batch Count 1
			 42000F 01 00000088                           //  Batch Item
			  42005C 05 00000004 0000000100000000         //   Operation Create
			  420079 01 00000070                          //   Request Payload
			   420057 05 00000004 0000000200000000        //    Object Type Symmetric Key
			   420125 01 00000058                         //    Attributes
			    420028 05 00000004 0000000300000000       //     Cryptographic Algorithm AES
			    42002A 02 00000004 0000010000000000       //     Cryptographic Length 256
			    42002C 02 00000004 0000000C00000000       //     Cryptographic Usage Mask Encrypt, Decrypt
			    420053 01 00000020                        //     Name
			     420055 07 00000001 6E 00000000000000     //      Name Value "n"
			     420054 05 00000004 0000000100000000      //      Name Type Uninterpreted Text String`},
		{"Get response 1.2", response(V1_2, OpGet, &GetResponse{"8", rawKey(1, 2, 3, 4, 5, 6, 7, 8)}), `
			42007B 01 000000F8                            // Response Message
			 42007A 01 00000048                           //  Response Header
			  420069 01 00000020                          //   Protocol Version
			   42006A 02 00000004 0000000100000000        //    Major 1
			   42006B 02 00000004 0000000200000000        //    Minor 2
			  420092 09 00000008 0000000066000000         //   Time Stamp
			  42000D 02 00000004 0000000100000000         //   Batch Count 1
			 42000F 01 000000A0                           //  Batch Item
			  42005C 05 00000004 0000000A00000000         //   Operation Get
			  42007F 05 00000004 0000000000000000         //   Result Status Success
			  42007C 01 00000078                          //   Response Payload
			   420057 05 00000004 0000000200000000        //    Object Type Symmetric Key
			   420094 07 00000001 38 00000000000000       //    Unique Identifier "8"
			   42008F 01 00000050                         //    Symmetric Key
			    420040 01 00000048                        //     Key Block
			     420042 05 00000004 0000000100000000      //      Key Format Type Raw
			     420045 01 00000010                       //      Key Value
			      420043 08 00000008 0102030405060708     //       Key Material
			     420028 05 00000004 0000000300000000      //      Cryptographic Algorithm AES
			     42002A 02 00000004 0000004000000000      //      Cryptographic Length 64`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, hex.EncodeToString(unhex(t, tt.hex)), hex.EncodeToString(requireRoundTrip(t, tt.m)))
		})
	}
}

// requireStable reads a message that anyone may have sent. What can be read can be written, and then means the same.
func requireStable(t require.TestingT, direction message, msg []byte, strict bool) bool {
	c := ttlv.Coder{Strict: strict}
	first, second := empty(direction), empty(direction)
	if first.Decode(&c, msg) != nil {
		return false
	}
	require.NoError(t, ttlv.Check(msg), "read, though it is not well formed")
	again, err := first.Append(&c, nil)
	require.NoError(t, err)
	require.NoError(t, second.Decode(&c, again))
	if !reflect.DeepEqual(first, second) { // require.Equal is slow where it has nothing to say
		require.Equal(t, first, second)
	}
	return true
}

// mutations are the values tried in place of each byte.
func mutations(b byte) [9]byte {
	return [9]byte{0, 1, 0x7F, 0x80, 0xFF, b - 1, b + 1, b ^ 0x10, ^b}
}

// No byte changed and no end cut off makes decoding panic or allocate beyond what the message's own size allows.
func TestMutants(t *testing.T) {
	mutants, read := 0, 0
	try := func(direction message, msg []byte) {
		mutants++
		if requireStable(t, direction, msg, false) {
			read++
			requireStable(t, direction, msg, true)
		}
	}
	for _, m := range samples(V1_4, V2_1) { // the two forms of attributes
		msg, err := m.Append(new(ttlv.Coder), nil)
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		was := mutants
		for at, b := range msg {
			for _, other := range mutations(b) {
				msg[at] = other
				try(m, msg)
			}
			msg[at] = b
			try(m, msg[:at])
		}
		runtime.ReadMemStats(&after)
		each := (after.TotalAlloc - before.TotalAlloc) / uint64(mutants-was)
		require.Less(t, each, uint64(64*len(msg)+32<<10), "bytes allocated for each mutant of %d bytes", len(msg))
	}
	t.Logf("%d mutants, of which %d can still be read, 0 panics", mutants, read)
}

func fuzz(f *testing.F, direction message) {
	for _, m := range samples(Versions()...) {
		if msg, err := m.Append(new(ttlv.Coder), nil); err == nil {
			f.Add(msg)
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		lenient := requireStable(t, direction, msg, false)
		strict := requireStable(t, direction, msg, true)
		require.False(t, strict && !lenient)
	})
}

func FuzzRequest(f *testing.F)  { fuzz(f, new(RequestMessage)) }
func FuzzResponse(f *testing.F) { fuzz(f, new(ResponseMessage)) }

// The messages that OASIS published are read where they are at hand; they are not part of this project.
func TestPublishedMessages(t *testing.T) {
	driver := filepath.Join("..", "..", "shared", "oasis")
	if _, err := os.Stat(filepath.Join(driver, "testdata")); err != nil {
		t.Skip("skipped: no published OASIS messages at " + driver)
	}
	dump := filepath.Join(t.TempDir(), "messages.json")
	cmd := exec.Command("go", "run", ".", "-dump", dump, "testdata")
	cmd.Dir = driver
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	data, err := os.ReadFile(dump)
	require.NoError(t, err)
	var cases []struct {
		Name                string
		Requests, Responses []string
	}
	require.NoError(t, json.Unmarshal(data, &cases))
	var n tally
	for _, c := range cases {
		for _, text := range c.Requests {
			n.published(t, new(RequestMessage), c.Name, unhex(t, text))
		}
		for _, text := range c.Responses {
			n.published(t, new(ResponseMessage), c.Name, unhex(t, text))
		}
	}
	t.Logf("%d messages: %d read, %d strictly, %d of these the same bytes again", n.all, n.read, n.strict, n.same)
	require.Equal(t, n.all, n.read)
}

type tally struct{ all, read, strict, same int }

func (n *tally) published(t *testing.T, direction message, name string, msg []byte) {
	n.all++
	if requireStable(t, direction, msg, false) {
		n.read++
	} else {
		t.Logf("%s: %v", name, empty(direction).Decode(new(ttlv.Coder), msg))
	}
	c := ttlv.Coder{Strict: true}
	m := empty(direction)
	if m.Decode(&c, msg) != nil {
		return
	}
	n.strict++
	again, err := m.Append(&c, nil)
	require.NoError(t, err)
	if string(again) == string(msg) {
		n.same++
	} else if testing.Verbose() {
		t.Logf("%s, written again:\n%s\n%s", name, ttlv.Dump(msg), ttlv.Dump(again))
	}
}
