package ttlv

import (
	"encoding/binary"
	"math/big"
	"time"
)

// Value is the value of an item apart from its tag: what an attribute holds, whichever name or tag it goes by. Data
// is the value as encoded, without padding; for a structure, its fields. Two values are equal when both parts are.
//
// The accessors return false when the value is of another type.
type Value struct {
	Type Type
	Data []byte
}

// IntValue is an Integer.
func IntValue(v int32) Value {
	return Value{TypeInteger, binary.BigEndian.AppendUint32(nil, uint32(v))}
}

// EnumValue is an Enumeration.
func EnumValue[T ~uint32](v T) Value {
	return Value{TypeEnumeration, binary.BigEndian.AppendUint32(nil, uint32(v))}
}

// TextValue is a Text String.
func TextValue(v string) Value { return Value{TypeTextString, []byte(v)} }

// BytesValue is a Byte String, which aliases v.
func BytesValue(v []byte) Value { return Value{TypeByteString, v} }

// TimeValue is a Date-Time.
func TimeValue(v time.Time) Value {
	return Value{TypeDateTime, binary.BigEndian.AppendUint64(nil, uint64(v.Unix()))}
}

// StructValue is a structure with those fields. They must be such as cannot fail to be written, since there is no error.
func StructValue(version uint16, fields func(*Coder)) Value {
	c := Coder{Version: version}
	fields(&c)
	return Value{TypeStructure, c.buf}
}

// is reports whether the value is one of that type, whose length is fixed.
func (v Value) is(t Type) bool { return v.Type == t && t.takes(len(v.Data)) }

// Int is the value of an Integer.
func (v Value) Int() (int32, bool) {
	if !v.is(TypeInteger) {
		return 0, false
	}
	return int32(binary.BigEndian.Uint32(v.Data)), true
}

// Enum is the value of an Enumeration.
func (v Value) Enum() (uint32, bool) {
	if !v.is(TypeEnumeration) {
		return 0, false
	}
	return binary.BigEndian.Uint32(v.Data), true
}

// Text is the value of a Text String.
func (v Value) Text() (string, bool) { return string(v.Data), v.Type == TypeTextString }

// Time is the value of a Date-Time.
func (v Value) Time() (time.Time, bool) {
	if !v.is(TypeDateTime) {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint64(v.Data)), 0).UTC(), true
}

// Struct reads the fields of a structure, as [Coder.Decode] does.
func (v Value) Struct(version uint16, fields func(*Coder)) error {
	if v.Type != TypeStructure {
		return &Error{Reason: "type " + v.Type.String() + ", not Structure"}
	}
	c := Coder{Version: version}
	return c.decode(v.Data, fields)
}

// Equal reports whether both are the same value of the same type.
func (v Value) Equal(o Value) bool { return v.Type == o.Type && string(v.Data) == string(o.Data) }

// appendBig appends v in two's complement, sign-extended to a multiple of eight bytes.
func appendBig(b []byte, v *big.Int) []byte {
	bits := v.BitLen()
	if v.Sign() < 0 { // -2^63 fits eight bytes, 2^63 does not
		bits = new(big.Int).Not(v).BitLen()
	}
	size := padded(bits/8 + 1)
	at := len(b)
	b = append(b, make([]byte, size)...)
	if v.Sign() >= 0 {
		v.FillBytes(b[at:])
		return b
	}
	new(big.Int).Not(v).FillBytes(b[at:]) // -v = ^v + 1, so the bits of v are those of ^(-v-1)
	for i := at; i < len(b); i++ {
		b[i] = ^b[i]
	}
	return b
}

// readBig is the reverse of appendBig.
func readBig(v *big.Int, b []byte) {
	v.SetBytes(b)
	if b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
}
