package ttlv_test

import (
	"encoding/hex"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/ttlv"
)

// unhex reads bytes as the specification prints them: "42 00 20 | 02".
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "", "\n", "", "\t", "").Replace(text))
	require.NoError(t, err)
	return b
}

// The tag of the specification's examples, and two more.
const (
	tag   ttlv.Tag = 0x420020
	other ttlv.Tag = 0x420004
	third ttlv.Tag = 0x420005
)

// write encodes fields without a structure around them.
func write(fields func(*ttlv.Coder)) []byte { return ttlv.StructValue(0, fields).Data }

// read decodes fields without a structure around them.
func read(items []byte, fields func(*ttlv.Coder)) error {
	return ttlv.Value{Type: ttlv.TypeStructure, Data: items}.Struct(0, fields)
}

// example is one of the worked examples: a field, and a check of what was read.
type example struct {
	name  string
	hex   string
	write func(*ttlv.Coder)
	read  func(*ttlv.Coder) (got, want any)
}

// field makes the example of one field with its value.
func field[T any](name, hex string, value T, f func(*ttlv.Coder, ttlv.Tag, *T)) example {
	return example{
		name, hex,
		func(c *ttlv.Coder) { f(c, tag, &value) },
		func(c *ttlv.Coder) (any, any) { var got T; f(c, tag, &got); return got, value },
	}
}

type colour uint32

// pair is the structure of the examples.
type pair struct {
	Enum colour
	Int  int32
}

func (p *pair) fields(c *ttlv.Coder) {
	ttlv.Enum(c, other, &p.Enum)
	c.Int(third, &p.Int)
}

// The worked examples of KMIP 1.4 section 9.1.2. Date-Time Extended has none; its bytes follow KMIP 2.1 section 10.1.
func examples() []example {
	million, _ := new(big.Int).SetString("1234567890000000000000000000", 10)
	return []example{
		field("Integer", "42 00 20 | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00", 8, (*ttlv.Coder).Int),
		field("negative Integer", "42 00 20 | 02 | 00 00 00 04 | FF FF FF FE 00 00 00 00", -2, (*ttlv.Coder).Int),
		field("Long Integer", "42 00 20 | 03 | 00 00 00 08 | 01 B6 9B 4B A5 74 92 00", 123456789000000000, (*ttlv.Coder).Long),
		field("Big Integer", "42 00 20 | 04 | 00 00 00 10 | 00 00 00 00 03 FD 35 EB 6B C2 DF 46 18 08 00 00", *million, (*ttlv.Coder).Big),
		field("Enumeration", "42 00 20 | 05 | 00 00 00 04 | 00 00 00 FF 00 00 00 00", colour(255), ttlv.Enum[colour]),
		field("Boolean", "42 00 20 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 01", true, (*ttlv.Coder).Bool),
		field("false Boolean", "42 00 20 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 00", false, (*ttlv.Coder).Bool),
		field("Text String", "42 00 20 | 07 | 00 00 00 0B | 48 65 6C 6C 6F 20 57 6F 72 6C 64 00 00 00 00 00", "Hello World", (*ttlv.Coder).Text),
		field("Byte String", "42 00 20 | 08 | 00 00 00 03 | 01 02 03 00 00 00 00 00", []byte{1, 2, 3}, (*ttlv.Coder).Bytes),
		field("Date-Time", "42 00 20 | 09 | 00 00 00 08 | 00 00 00 00 47 DA 67 F8",
			time.Date(2008, 3, 14, 11, 56, 40, 0, time.UTC), (*ttlv.Coder).Time),
		field("Interval", "42 00 20 | 0A | 00 00 00 04 | 00 0D 2F 00 00 00 00 00", 10*24*time.Hour, (*ttlv.Coder).Interval),
		field("longest Interval", "42 00 20 | 0A | 00 00 00 04 | FF FF FF FF 00 00 00 00", math.MaxUint32*time.Second, (*ttlv.Coder).Interval),
		field("Date-Time Extended", "42 00 20 | 0B | 00 00 00 08 | 00 04 48 64 5C EF EE 07",
			time.Date(2008, 3, 14, 11, 56, 40, 7000, time.UTC), (*ttlv.Coder).TimeExtended),
		field("Structure", `42 00 20 | 01 | 00 00 00 20 |
			42 00 04 | 05 | 00 00 00 04 | 00 00 00 FE 00 00 00 00 | 42 00 05 | 02 | 00 00 00 04 | 00 00 00 FF 00 00 00 00`,
			pair{254, 255}, func(c *ttlv.Coder, tag ttlv.Tag, p *pair) { c.Struct(tag, p.fields) }),
	}
}

func TestExamplesOfTheSpecification(t *testing.T) {
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			golden := unhex(t, e.hex)
			require.Equal(t, golden, write(e.write))
			require.NoError(t, ttlv.Check(golden))
			require.NoError(t, read(golden, func(c *ttlv.Coder) {
				got, want := e.read(c)
				require.Equal(t, want, got)
			}))
		})
	}
}

// Each type's method refuses every other type's item, and says both.
func TestTypesAreNotMixedUp(t *testing.T) {
	for _, asked := range examples() {
		for _, sent := range examples() {
			a, s := unhex(t, asked.hex), unhex(t, sent.hex)
			if a[3] == s[3] {
				continue
			}
			err := read(s, func(c *ttlv.Coder) { asked.read(c) })
			require.EqualError(t, err, "ttlv: Compromise Date at offset 0: type "+ttlv.Type(s[3]).String()+", not "+ttlv.Type(a[3]).String())
		}
	}
}

func TestBigIntegers(t *testing.T) {
	for _, tt := range []struct{ name, value, hex string }{
		{"zero", "0", "0000000000000000"},
		{"one", "1", "0000000000000001"},
		{"minus one", "-1", "FFFFFFFFFFFFFFFF"},
		{"2^63-1", "9223372036854775807", "7FFFFFFFFFFFFFFF"},
		{"2^63", "9223372036854775808", "00000000000000008000000000000000"},
		{"-2^63", "-9223372036854775808", "8000000000000000"},
		{"-2^63-1", "-9223372036854775809", "FFFFFFFFFFFFFFFF7FFFFFFFFFFFFFFF"},
		{"2^64", "18446744073709551616", "00000000000000010000000000000000"},
		{"-2^64", "-18446744073709551616", "FFFFFFFFFFFFFFFF0000000000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := new(big.Int).SetString(tt.value, 10)
			item := write(func(c *ttlv.Coder) { c.Big(tag, v) })
			require.Equal(t, tt.hex, strings.ToUpper(hex.EncodeToString(item[8:])))
			requireBig(t, item, v)
		})
	}
}

func requireBig(t require.TestingT, item []byte, want *big.Int) {
	got := big.NewInt(42)
	require.NoError(t, ttlv.Check(item))
	require.NoError(t, read(item, func(c *ttlv.Coder) { c.Big(tag, got) }))
	require.Zero(t, want.Cmp(got), "%v, not %v", got, want)
}

// Any integer comes back, and so does one whose sender sign-extended it further than it had to.
func TestBigIntegerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "magnitude"))
		if rapid.Bool().Draw(t, "negative") {
			v.Neg(v)
		}
		item := write(func(c *ttlv.Coder) { c.Big(tag, v) })
		requireBig(t, item, v)

		sign := byte(0)
		if v.Sign() < 0 {
			sign = 0xFF
		}
		longer := append(item[:8:8], sign, sign, sign, sign, sign, sign, sign, sign)
		longer = append(longer, item[8:]...)
		longer[7] += 8
		requireBig(t, longer, v)
	})
}

// Accessors and constructors of values agree, and none takes a value for another type's.
func TestValues(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	n, ok := ttlv.IntValue(-7).Int()
	require.True(t, ok)
	require.EqualValues(t, -7, n)
	e, ok := ttlv.EnumValue(colour(9)).Enum()
	require.True(t, ok)
	require.EqualValues(t, 9, e)
	s, ok := ttlv.TextValue("ü").Text()
	require.True(t, ok)
	require.Equal(t, "ü", s)
	at, ok := ttlv.TimeValue(now).Time()
	require.True(t, ok)
	require.Equal(t, now, at)
	require.True(t, ttlv.IntValue(1).Equal(ttlv.IntValue(1)))
	require.False(t, ttlv.IntValue(1).Equal(ttlv.EnumValue(colour(1))))

	for _, v := range []ttlv.Value{{}, {Type: ttlv.TypeInteger}, {Type: ttlv.TypeEnumeration, Data: []byte{1}}, {Type: ttlv.TypeDateTime}} {
		_, isInt := v.Int()
		_, isEnum := v.Enum()
		_, isText := v.Text()
		_, isTime := v.Time()
		require.False(t, isInt || isEnum || isText || isTime, "%v", v)
	}
	nothing := func(*ttlv.Coder) {}
	require.Error(t, ttlv.TextValue("x").Struct(0, nothing))
	require.Error(t, ttlv.Value{Type: ttlv.TypeStructure, Data: []byte{1}}.Struct(0, nothing), "what no message held is checked")
}

// What Check would refuse is not written.
func TestAppendRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		field func(*ttlv.Coder)
		err   string
	}{
		{"a value of no type", func(c *ttlv.Coder) { c.Value(tag, &ttlv.Value{}) }, "unknown type 0x00"},
		{"a value of the wrong length", func(c *ttlv.Coder) {
			c.Value(tag, &ttlv.Value{Type: ttlv.TypeInteger, Data: []byte{1}})
		}, "Integer of 1 bytes, not 4"},
		{"a negative interval", func(c *ttlv.Coder) { d := -time.Second; c.Interval(tag, &d) }, "an interval of -1s"},
		{"an endless interval", func(c *ttlv.Coder) { d := (math.MaxUint32 + 1) * time.Second; c.Interval(tag, &d) }, "an interval of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c ttlv.Coder
			_, err := c.Append(nil, other, tt.field)
			require.ErrorContains(t, err, "ttlv: Compromise Date at offset 8: "+tt.err)
		})
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, "Unique Identifier", ttlv.TagUniqueIdentifier.String())
	require.Equal(t, "tag 0x540001", ttlv.Tag(0x540001).String())
	require.Equal(t, "tag 0x000000", ttlv.Tag(0).String())
	require.Equal(t, "tag 0xFFFFFFFF", ttlv.Tag(math.MaxUint32).String())
	require.Equal(t, "type 0x0C", ttlv.Type(12).String())
	require.Equal(t, "type 0x00", ttlv.Type(0).String())
}
