package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"kmip-keymgr/internal/secret"
)

// decoder reads a JSON text once, forward. encoding/json would do, at four times the price, a quarter of a millisecond
// for its first look at our types in every one-shot, and error messages that quote secrets. Here each field is read by
// the method of its type, null leaves it alone, and one of another type is noted with its name and passed over, so that
// what comes after is read too.
//
// The text is one that requests has framed: it begins with a brace and ends with the one that closes it, is no deeper
// than MaxDepth, and has no control characters in strings.
type decoder struct {
	text     []byte
	at       int      // of the next byte
	path     [][]byte // the names that lead to the value at hand
	typeErr  error    // the first field of another type
	brokenAt int      // place of the first byte that is no JSON, counted from 1; 0 for none, and then all else counts
}

// next passes over white space and returns the byte after it, or 0 where nothing more can be read.
func (d *decoder) next() byte {
	for ; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// fail notes that the text is no JSON at the next byte. All reading comes to its end.
func (d *decoder) fail() {
	if d.brokenAt == 0 {
		d.brokenAt = d.at + 1
	}
	d.at = len(d.text)
}

// expect reports whether a value begins with that byte. Null, and with a note a value of another type, is passed over.
func (d *decoder) expect(first byte, wanted string) bool {
	switch d.next() {
	case first:
		return true
	case 'n':
		d.word("null")
	default:
		d.mismatch(wanted)
		d.skip()
	}
	return false
}

// mismatch notes that the value at hand is not what is wanted, without showing what it is.
func (d *decoder) mismatch(wanted string) {
	if d.typeErr == nil {
		d.typeErr = invalid("%s: must be %s", bytes.Join(d.path, []byte(".")), wanted)
	}
}

// object reads an object, calling member to read the value of each name. A field that member does not know, and so does not
// read, is ignored.
func (d *decoder) object(member func(name []byte)) {
	if !d.expect('{', "an object") {
		return
	}
	d.each('}', func() {
		name := d.name()
		d.path = append(d.path, name)
		at := d.at
		if member(name); d.at == at {
			d.skip()
		}
		d.path = d.path[:len(d.path)-1]
	})
}

// list reads a list, calling item to read each value.
func (d *decoder) list(item func()) {
	if d.expect('[', "a list") {
		d.each(']', item)
	}
}

// each reads what stands between brackets of either kind, the first of which is the next byte.
func (d *decoder) each(closing byte, item func()) {
	d.at++
	if d.next() == closing {
		d.at++
		return
	}
	for {
		item()
		switch d.next() {
		case ',':
			d.at++
		case closing:
			d.at++
			return
		default:
			d.fail()
			return
		}
	}
}

func (d *decoder) name() []byte {
	if d.next() != '"' {
		d.fail()
		return nil
	}
	name := d.quoted()
	if d.next() != ':' {
		d.fail()
		return nil
	}
	d.at++
	return name
}

// skip passes over any value.
func (d *decoder) skip() {
	switch d.next() {
	case '{':
		d.object(func([]byte) {})
	case '[':
		d.list(d.skip)
	case '"':
		d.quoted()
	case 't':
		d.word("true")
	case 'f':
		d.word("false")
	case 'n':
		d.word("null")
	default:
		d.number()
	}
}

// raw passes over any value and returns its text, nil for null. It is part of the decoder's text.
func (d *decoder) raw() []byte {
	null := d.next() == 'n'
	start := d.at
	d.skip()
	if null || d.brokenAt != 0 {
		return nil
	}
	return d.text[start:d.at:d.at]
}

func (d *decoder) word(w string) {
	if !bytes.HasPrefix(d.text[d.at:], []byte(w)) {
		d.fail()
		return
	}
	d.at += len(w)
}

// number passes over a number and returns its text.
func (d *decoder) number() []byte {
	start := d.at
	for d.at < len(d.text) && strings.IndexByte("+-.0123456789Ee", d.text[d.at]) >= 0 {
		d.at++
	}
	number := d.text[start:d.at]
	if !json.Valid(number) {
		d.at = start
		d.fail()
	}
	return number
}

// quoted reads a string, whose quote is the next byte. What it returns is part of the decoder's text unless the string
// has escapes, which the secrets we know have no need of.
func (d *decoder) quoted() []byte {
	start := d.at + 1
	end := start + plain(d.text[start:])
	switch {
	case end == len(d.text):
		d.fail()
		return nil
	case d.text[end] != '"':
		return d.escaped()
	}
	d.at = end + 1
	return d.text[start:end:end]
}

// noText is what half a surrogate pair makes of a string: bytes that are no UTF-8. Replaced by U+FFFD, as encoding/json does,
// two texts could become one.
var noText = []byte{0xFF}

// escaped is quoted for any string at all, the rare one.
func (d *decoder) escaped() []byte {
	end := d.at + 1
	for ; end < len(d.text) && d.text[end] != '"'; end++ {
		if d.text[end] == '\\' {
			end++
		}
	}
	var s string
	if end >= len(d.text) || json.Unmarshal(d.text[d.at:end+1], &s) != nil {
		d.fail()
		return nil
	}
	half := hasHalfPair(d.text[d.at:end])
	d.at = end + 1
	if half {
		return noText
	}
	return []byte(s)
}

// hasHalfPair reports whether a string escapes half a surrogate pair, which is no character (RFC 8259 section 8.2).
func hasHalfPair(quoted []byte) bool {
	for {
		at := bytes.IndexByte(quoted, '\\')
		if at < 0 {
			return false
		}
		first := escapedUnit(quoted[at:])
		switch {
		case !utf16.IsSurrogate(first):
			quoted = quoted[at+2:]
		case utf16.DecodeRune(first, escapedUnit(quoted[at+6:])) == utf8.RuneError:
			return true
		default:
			quoted = quoted[at+12:]
		}
	}
}

// escapedUnit is the UTF-16 unit that the text begins with as \u and four digits, 0 where it begins with anything else.
func escapedUnit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16) // the digits were checked
	return rune(unit)
}

// characters reads a string that must be text.
func (d *decoder) characters() (text []byte, ok bool) {
	if !d.expect('"', "a string") {
		return nil, false
	}
	text = d.quoted()
	if ok = utf8.Valid(text); !ok {
		d.mismatch("a string of whole characters")
	}
	return text, ok
}

func (d *decoder) string(s *string) {
	if text, ok := d.characters(); ok {
		*s = string(text)
	}
}

// strings reads a list without what is null or empty in it.
func (d *decoder) strings(all *[]string) {
	*all = nil
	d.list(func() {
		var s string
		if d.string(&s); s != "" {
			*all = append(*all, s)
		}
	})
}

func (d *decoder) bool(b *bool) {
	switch d.next() {
	case 't':
		d.word("true")
		*b = true
	case 'f':
		d.word("false")
		*b = false
	default:
		d.expect(0, "true or false")
	}
}

func (d *decoder) int(n *int64) {
	if c := d.next(); c != '-' && (c < '0' || c > '9') {
		d.expect(0, "a whole number")
		return
	}
	text := string(d.number())
	parsed, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		parsed, err = wholeFloat(text)
	}
	if err != nil {
		d.mismatch("a whole number")
		return
	}
	*n = parsed
}

// wholeFloat reads 30000.0, which is what Python writes of a whole number that was computed.
func wholeFloat(text string) (int64, error) {
	const exact = 1 << 53 // up to which a float holds every whole number
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && (f != math.Trunc(f) || math.Abs(f) > exact) {
		err = strconv.ErrRange
	}
	return int64(f), err
}

// bits reads the length of a key.
func (d *decoder) bits(n *int) {
	bits := int64(*n)
	d.int(&bits)
	if bits < 0 || bits > maxBits {
		d.mismatch("a number of bits from 0 to " + strconv.Itoa(maxBits))
		return
	}
	*n = int(bits)
}

// secret does not copy: the secret goes where the text goes.
func (d *decoder) secret(s *secret.Bytes) {
	if text, ok := d.characters(); ok {
		*s = text
	}
}

// hex makes the bytes not nil even if there are none.
func (d *decoder) hex(s *secret.Bytes) {
	const wanted = "an even number of hex digits"
	if !d.expect('"', wanted) {
		return
	}
	digits := d.quoted()
	decoded, err := hex.AppendDecode(make([]byte, 0, len(digits)/2), digits)
	if err != nil {
		clear(decoded)
		d.mismatch(wanted)
		return
	}
	s.Clear() // the field may be there twice
	*s = decoded
}

// The spellings of ISO 8601 that Python's isoformat and people use, and the basic ones. After the seconds time.Parse takes a
// fraction as well.
var layouts = [...]string{
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05Z07",
	"2006-01-02T15:04",
	"2006-01-02T15:04Z07:00",
	"2006-01-02",
	"20060102T150405",
	"20060102T150405Z0700",
	"20060102",
}

// time takes no zone for UTC, no time of day for midnight, and a space for the T. It gives the time in UTC.
func (d *decoder) time(t **time.Time) {
	const wanted = "an ISO 8601 date and time"
	if !d.expect('"', wanted) {
		return
	}
	text := strings.Replace(string(d.quoted()), " ", "T", 1)
	for _, layout := range layouts {
		if parsed, err := time.Parse(layout, text); err == nil {
			parsed = parsed.UTC()
			*t = &parsed
			return
		}
	}
	d.mismatch(wanted)
}
