package protocol_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/protocol"
)

// example is a line of testdata, which the Python tests read as well. The two members are compared as they are spelled.
type example struct {
	Name     string          `json:"name"`
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response"`
}

func examples(t testing.TB, file string) (all []example) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var e example
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		all = append(all, e)
	}
	return all
}

func TestServeAnswersAsPinned(t *testing.T) {
	for _, e := range examples(t, "examples.jsonl") {
		t.Run(e.Name, func(t *testing.T) {
			out, status, _ := serve(string(e.Request))
			require.Equal(t, string(e.Response)+"\n", out)
			require.Equal(t, protocol.OK, status)
		})
	}
	for _, e := range examples(t, "errors.jsonl") {
		t.Run(e.Name, func(t *testing.T) {
			out, status, _ := serve(string(e.Request))
			require.Equal(t, string(e.Response)+"\n", out)
			want := protocol.Failed
			if e.Name == "configuration" {
				want = protocol.Broken
			}
			require.Equal(t, want, status)
		})
	}
}

const (
	ask    = `{"version":1,"id":"1","op":"copy_key","args":{"key_id":"` + keyID + `"}}`
	answer = `{"version":1,"id":"1","result":{"key_id":"` + otherID + `"}}` + "\n"
	bad    = `{"version":1,"id":"2","op":"copy_key","args":{"key_id":"923"}}`
	badly  = `{"version":1,"id":"2","error":{"kind":"invalid_request","message":"args.key_id: is not a UUID","reason":null,` +
		`"retryable":false,"maybe_executed":false,"server":null}}` + "\n"
	unset = `{"version":1,"id":"3","op":"get_key","args":{"key_id":"` + unconfigID + `"}}`
)

// refusal is the line that answers broken input.
func refusal(message string) string {
	return `{"version":1,"id":null,"error":{"kind":"invalid_request","message":"` + message + `","reason":null,` +
		`"retryable":false,"maybe_executed":false,"server":null}}` + "\n"
}

func TestServeFramesTheInput(t *testing.T) {
	deep := func(levels int) string {
		levels-- // the request is one
		return ask[:len(ask)-1] + `,"x":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + "}"
	}
	long := func(size int) string {
		return ask[:len(ask)-1] + `,"x":"` + strings.Repeat("x", size-len(ask)-7) + `"}`
	}
	for _, c := range []struct{ name, input, output string }{
		{"one a line", ask + "\n" + ask + "\n", answer + answer},
		{"no white space", ask + ask, answer + answer},
		{"much white space", "\r\n\t " + ask + "\n\n \r\n", answer},
		{"over several lines", strings.NewReplacer(",", ",\n  ", "{", "{\n", "}", "\n}\n").Replace(ask), answer},
		{"braces and quotes in strings", ask[:len(ask)-1] + `,"x":"}]\"}\\"}` + ask, answer + answer},
		{"escaped pairs", strings.Replace(ask, `"1"`, `"\ud83d\ude00\\\uD83D\uDE00\ufffd"`, 1), strings.Replace(answer, `"1"`, `"😀\\😀�"`, 1)},
		{"as deep as allowed", deep(32), answer},
		{"as long as allowed", long(4 << 20), answer},

		{"nothing", "", refusal("the input ends at byte 0 without a request")},
		{"white space alone", " \n", refusal("the input ends at byte 2 without a request")},
		{"a number", " 12", refusal("byte 2 does not begin a JSON object")},
		{"a list", "[" + ask + "]", refusal("byte 1 does not begin a JSON object")},
		{"null after a request", "null", refusal("byte 1 does not begin a JSON object")},
		{"a byte order mark", "\ufeff" + ask, refusal("byte 1 does not begin a JSON object")},
		{"words between requests", ask + "\nquit\n" + ask, answer + refusal("byte 97 does not begin a JSON object")},
		{"no JSON within braces", ask + "{version:1}", answer + refusal("the input is not JSON at byte 97")},
		{"a bad word", `{"version":nil}`, refusal("the input is not JSON at byte 12")},
		{"a bad word where a boolean may be", `{"context":{"is_admin":True}}`, refusal("the input is not JSON at byte 24")},
		{"a bad number", `{"version":01}`, refusal("the input is not JSON at byte 12")},
		{"not a number", `{"x":NaN}`, refusal("the input is not JSON at byte 6")},
		{"a bad escape", `{"id":"\x"}`, refusal("the input is not JSON at byte 7")},
		{"no UTF-8", ask + `{"version":1,"op":"check","id":"caf` + "\xe9" + `"}`, answer + refusal("the request that begins at byte 96 is not UTF-8")},
		{"no UTF-8 in an unknown field", `{"x":"` + "\xed\xa0\x80" + `"}`, refusal("the request that begins at byte 1 is not UTF-8")},
		{"no colon", `{"id" "1"}`, refusal("the input is not JSON at byte 7")},
		{"no comma", `{"op":"1" "id":""}`, refusal("the input is not JSON at byte 11")},
		{"no value", `{"id":}`, refusal("the input is not JSON at byte 7")},
		{"a comma too many", `{"op":"1",}`, refusal("the input is not JSON at byte 11")},
		{"an id before the fault", `{"id":"1",}`, strings.Replace(refusal("the input is not JSON at byte 11"), "null", `"1"`, 1)},
		{"a brace for a bracket", `{"args":[}`, refusal("the input is not JSON at byte 10")},
		{"a bracket for a brace", `{"args":{]`, refusal("the input is not JSON at byte 10")},
		{"a line that ends in a string", "{\"op\":\"get_key\n", refusal("the input is not JSON at byte 15")},
		{"a backslash at a line's end", "{\"op\":\"get_key\\\n", refusal("the input is not JSON at byte 16")},
		{"an end within a request", ask + "\n" + `{"version":`, answer +
			refusal("the input ends at byte 107, within the request that begins at byte 97")},
		{"too deep", deep(33), refusal("more than 32 levels of nesting at byte 131")},
		{"far too deep", strings.Repeat(`{"a":`, 1e5), refusal("more than 32 levels of nesting at byte 161")},
		{"too long", long(4<<20 + 1), refusal("more than 4194304 bytes in the request that begins at byte 1")},
		{"endless", `{"a":"` + strings.Repeat("x", 5<<20), refusal("more than 4194304 bytes in the request that begins at byte 1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, status, _ := serve(c.input)
			require.Equal(t, c.output, out)
			require.Equal(t, strings.Contains(c.output, "error"), status == protocol.Broken)
		})
	}
}

func TestServeStatus(t *testing.T) {
	for _, c := range []struct {
		name, input string
		status      protocol.Status
	}{
		{"all well", ask + ask, protocol.OK},
		{"one error", ask + bad + ask, protocol.Failed},
		{"errors and configuration", bad + unset + bad, protocol.Broken},
		{"configuration alone", unset, protocol.Broken},
		{"errors and broken input", bad + "x", protocol.Broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, status, _ := serve(c.input)
			require.Equal(t, c.status, status)
		})
	}
	out, _, _ := serve(ask + bad + ask)
	require.Equal(t, answer+badly+answer, out)
}

func TestServeReportsAReadError(t *testing.T) {
	for input, output := range map[string]string{
		"":        refusal("byte 1: the disk burns"),
		`{"op":`:  refusal("byte 7: the disk burns"),
		ask + " ": answer + refusal("byte 97: the disk burns"),
	} {
		in := io.MultiReader(strings.NewReader(input), iotest.ErrReader(errors.New("the disk burns")))
		out, status := (&stub{}).serve(in)
		require.Equal(t, output, out)
		require.Equal(t, protocol.Broken, status)
	}
}

// writes counts its calls and fails from the one numbered so.
type writes struct{ calls, failing int }

func (w *writes) Write(p []byte) (int, error) {
	w.calls++
	if w.calls == w.failing {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestServeWritesOncePerLineAndStopsWhenItCannot(t *testing.T) {
	out := &writes{}
	require.Equal(t, protocol.OK, protocol.Serve(context.Background(), strings.NewReader(ask+ask+ask), out, &stub{}))
	require.Equal(t, 3, out.calls)

	out = &writes{failing: 2}
	require.Equal(t, protocol.Broken, protocol.Serve(context.Background(), strings.NewReader(ask+ask+ask), out, &stub{}))
	require.Equal(t, 2, out.calls)

	out = &writes{failing: 1}
	require.Equal(t, protocol.Broken, protocol.Serve(context.Background(), strings.NewReader(""), out, &stub{}))
}

func TestServeAnswersBeforeTheNextByte(t *testing.T) {
	inR, in := io.Pipe()
	out, outW := io.Pipe()
	status := make(chan protocol.Status)
	go func() { status <- protocol.Serve(context.Background(), inR, outW, &stub{}) }()
	lines := bufio.NewReader(out)
	for range 3 {
		_, err := io.WriteString(in, ask)
		require.NoError(t, err)
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, answer, line)
	}
	require.NoError(t, in.Close())
	require.Equal(t, protocol.OK, <-status)
}

func TestServeDoesNotCareHowInputArrives(t *testing.T) {
	var input strings.Builder
	for _, e := range append(examples(t, "examples.jsonl"), examples(t, "errors.jsonl")...) {
		input.Write(e.Request)
	}
	want, _, _ := serve(input.String())
	for _, slowly := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
		got, _ := (&stub{}).serve(slowly(strings.NewReader(input.String())))
		require.Equal(t, want, got)
	}
}

func TestServeStopsAReaderThatNeverReads(t *testing.T) {
	out, status := (&stub{}).serve(idle{})
	require.Equal(t, refusal("byte 1: "+io.ErrNoProgress.Error()), out)
	require.Equal(t, protocol.Broken, status)
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestDeadline(t *testing.T) {
	_, _, s := serve(strings.Replace(ask, `"id"`, `"deadline_ms":60000,"id"`, 1))
	require.InDelta(t, time.Minute, s.left, float64(time.Second))
	for _, none := range []string{"0", "null"} {
		_, _, s = serve(strings.Replace(ask, `"id"`, `"deadline_ms":`+none+`,"id"`, 1))
		require.Zero(t, s.left)
	}
}

func TestACancelledContextIsUnavailable(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out strings.Builder
	slow := strings.NewReader(`{"version":1,"op":"get_key","args":{"key_id":"` + slowID + `"}}`)
	require.Equal(t, protocol.Failed, protocol.Serve(ctx, slow, &out, &stub{}))
	require.Contains(t, out.String(), `"kind":"unavailable"`)
}

// chooser is a stub with several servers.
type chooser struct{ stub }

func (*chooser) Server() string { return "kms2:5696" }

func TestAResultSaysWhichServerGaveIt(t *testing.T) {
	var out strings.Builder
	require.Equal(t, protocol.Failed, protocol.Serve(context.Background(), strings.NewReader(ask+bad), &out, &chooser{}))
	require.Equal(t, strings.Replace(answer, "}\n", `,"server":"kms2:5696"}`+"\n", 1)+badly, out.String())
}

func TestWriteError(t *testing.T) {
	var out strings.Builder
	status := protocol.WriteError(&out, &protocol.Error{Kind: protocol.Config, Message: "no certfile"})
	require.Equal(t, protocol.Broken, status)
	require.Equal(t, `{"version":1,"id":null,"error":{"kind":"config","message":"no certfile","reason":null,`+
		`"retryable":false,"maybe_executed":false,"server":null}}`+"\n", out.String())
}
