package novaconf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const section17 = `[kmip]
host = kms1.example.com,kms2.example.com:5697
port = 5696
certfile = /etc/nova/kmip/client.pem
keyfile = $certfile
ca_certs = ${state_path}/ca.pem
username = nova
password = pa$$word
timeout = 20
`

func benchmark(b *testing.B, text string) {
	path := filepath.Join(b.TempDir(), "nova.conf")
	require.NoError(b, os.WriteFile(path, []byte(text), 0o600))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		files, err := Load([]Source{{Path: path}}, os.Environ())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := files.KMIP(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSmall(b *testing.B) {
	benchmark(b, "[DEFAULT]\nstate_path = /var/lib/nova\n\n"+section17)
}

// BenchmarkSample is like oslo-config-generator's sample, nearly all comment.
func BenchmarkSample(b *testing.B) {
	benchmark(b, "[DEFAULT]\nstate_path = /var/lib/nova\n"+strings.Repeat("\n# What this option does, in some words that go on for a line or so (string value)\n#option = value\n", 2000)+section17)
}

// BenchmarkSettings is 200 kB of nothing but settings, in 40 sections.
func BenchmarkSettings(b *testing.B) {
	var text strings.Builder
	text.WriteString("[DEFAULT]\nstate_path = /var/lib/nova\n")
	for i := range 6000 {
		if i%150 == 0 {
			fmt.Fprintf(&text, "[section%d]\n", i)
		}
		fmt.Fprintf(&text, "some_option_%d = some value of it %d\n", i, i)
	}
	benchmark(b, text.String()+section17)
}

// BenchmarkOneSection is 200 kB of settings in [kmip] itself, the most that ini.v1 is given.
func BenchmarkOneSection(b *testing.B) {
	benchmark(b, "[DEFAULT]\nstate_path = /var/lib/nova\n[kmip]\n"+numbered(15_000)+strings.TrimPrefix(section17, "[kmip]\n"))
}
