package ttlv_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/ttlv"
)

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

func TestDump(t *testing.T) {
	var c ttlv.Coder
	msg, err := c.Append(nil, ttlv.TagRequestMessage, func(c *ttlv.Coder) {
		for _, e := range examples() {
			e.write(c)
		}
		id, password, token := "id-1", "hunter2", "gAAAA"
		c.Text(ttlv.TagUniqueIdentifier, &id)
		c.Text(ttlv.TagPassword, &password)
		c.Text(0x540001, &token)
	})
	require.NoError(t, err)
	require.Equal(t, `Request Message (Structure): 312 bytes
  Compromise Date (Integer): 8
  Compromise Date (Integer): -2
  Compromise Date (Long Integer): 123456789000000000
  Compromise Date (Big Integer): secret(16 bytes)
  Compromise Date (Enumeration): 0x000000FF
  Compromise Date (Boolean): 1
  Compromise Date (Boolean): 0
  Compromise Date (Text String): "Hello World"
  Compromise Date (Byte String): secret(3 bytes)
  Compromise Date (Date-Time): 2008-03-14T11:56:40Z
  Compromise Date (Interval): 864000s
  Compromise Date (Interval): 4294967295s
  Compromise Date (Date-Time Extended): 2008-03-14T11:56:40.000007Z
  Compromise Date (Structure): 32 bytes
    Application Specific Information (Enumeration): 0x000000FE
    Archive Date (Integer): 255
  Unique Identifier (Text String): "id-1"
  Password (Text String): secret(7 bytes)
  tag 0x540001 (Text String): secret(5 bytes)
`, ttlv.Dump(msg))
	require.Equal(t, "ttlv: offset 0: 0 bytes where an item should start\n", ttlv.Dump(nil))
}

const planted = "PLANTED!" // eight bytes, and none of Dump's own words

// plant fills every value of a tree that may be a secret with the planted bytes, and counts them.
func plant(n *node) (planted int) {
	switch n.value.Type {
	case ttlv.TypeByteString, ttlv.TypeBigInteger:
		n.value.Data = []byte("PLANTED!PLANTED!")
		planted++
	case ttlv.TypeTextString:
		n.value.Data = []byte("PLANTED!")
		n.tag = [...]ttlv.Tag{ttlv.TagPassword, ttlv.TagKeyMaterial, ttlv.TagKeyValue, ttlv.TagCredentialValue, 0x54000F, 0x42FFFF}[n.tag%6]
		planted++
	}
	for i := range n.inner {
		planted += plant(&n.inner[i])
	}
	return planted
}

func TestDumpShowsNoSecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := node{tag: tag, value: ttlv.Value{Type: ttlv.TypeStructure}}
		root.inner = rapid.SliceOfN(someNode(3), 1, 6).Draw(t, "tree")
		secrets := plant(&root)
		text := ttlv.Dump(write(root.fields))
		require.Equal(t, secrets, strings.Count(text, "secret("))
		require.NotContains(t, text, planted)
		require.NotContains(t, strings.ToUpper(text), strings.ToUpper(hexOf(planted)))
	})
}

func FuzzDump(f *testing.F) {
	f.Add(message(10))
	for _, e := range examples() {
		f.Add(unhex(f, e.hex))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		text := ttlv.Dump(msg)
		require.True(t, utf8.ValidString(text))
		require.True(t, strings.HasSuffix(text, "\n"))
	})
}
