package ttlv

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Dump shows a message to people: one line an item, indented by depth. Of what may be secret (every Byte String and Big
// Integer, passwords, and the texts of tags without a name here, such as extensions, where tokens travel) it shows the
// length and not the value.
// A message that is not well formed is shown as what is wrong with it.
func Dump(msg []byte) string {
	if err := Check(msg); err != nil {
		return err.Error() + "\n"
	}
	var s strings.Builder
	dump(&s, msg, 0)
	return s.String()
}

func dump(s *strings.Builder, items []byte, depth int) {
	for len(items) > 0 {
		h := header(binary.BigEndian.Uint64(items))
		v := Value{h.typ(), items[headerSize : headerSize+h.length()]}
		fmt.Fprintf(s, "%s%v (%v): %s\n", strings.Repeat("  ", depth), h.tag(), v.Type, v.show(h.tag()))
		if v.Type == TypeStructure {
			dump(s, v.Data, depth+1)
		}
		items = items[headerSize+padded(h.length()):]
	}
}

// show is the value in words; the tag decides whether a text is secret.
func (v Value) show(tag Tag) string {
	switch v.Type {
	case TypeStructure:
		return fmt.Sprintf("%d bytes", len(v.Data))
	case TypeTextString:
		if tag.secret() {
			break
		}
		return fmt.Sprintf("%q", v.Data)
	case TypeByteString, TypeBigInteger:
	case TypeEnumeration:
		return fmt.Sprintf("0x%X", v.Data)
	case TypeInterval:
		return fmt.Sprintf("%ds", binary.BigEndian.Uint32(v.Data))
	case TypeDateTime:
		return time.Unix(number(v.Data).Int64(), 0).UTC().Format(time.RFC3339)
	case TypeDateTimeExtended:
		return time.UnixMicro(number(v.Data).Int64()).UTC().Format(time.RFC3339Nano)
	default:
		return number(v.Data).String()
	}
	return fmt.Sprintf("secret(%d bytes)", len(v.Data))
}

// number is a value of any signed integer type.
func number(data []byte) *big.Int {
	n := new(big.Int)
	readBig(n, data)
	return n
}
