package novaconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// FuzzLoad looks for panics, and for errors that do not say where.
func FuzzLoad(f *testing.F) {
	for _, text := range handWritten() {
		if len(text) < 1000 {
			f.Add([]byte(text), "")
		}
	}
	f.Add([]byte(section17), "$port")
	path := filepath.Join(f.TempDir(), "nova.conf")
	f.Fuzz(func(t *testing.T, text []byte, environment string) {
		if os.WriteFile(path, text, 0o600) != nil {
			t.Skip()
		}
		files, err := Load([]Source{{Path: path}}, []string{"HOME=/nonexistent", "OS_KMIP__HOST=" + environment})
		if err != nil {
			requirePlace(t, err)
			return
		}
		require.Len(t, files.Effective(), len(options))
		if _, err := files.KMIP(); err != nil {
			requirePlace(t, err)
		}
	})
}

func requirePlace(t require.TestingT, err error) {
	var ours *Error
	require.ErrorAs(t, err, &ours)
	require.NotEmpty(t, ours.File+ours.Variable)
	require.NotEmpty(t, ours.Reason)
}

// load writes a file into a directory of the test's own and loads it.
func load(t interface {
	require.TestingT
	Helper()
}, dir, text string, environ ...string,
) (*Files, error) {
	t.Helper()
	path := filepath.Join(dir, "nova.conf")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Load([]Source{{Path: path}}, append([]string{"HOME=" + dir}, environ...))
}

// What is written for a value comes back, if its dollar signs are doubled and quotes keep its ends.
func TestValueComesBack(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[^\r\n]{0,40}`).Draw(t, "value")
		quoted := `"` + strings.ReplaceAll(value, "$", "$$") + `"`
		if strings.Contains(quoted, `\$`) {
			t.Skip("a backslash before a dollar sign cannot be written")
		}
		files, err := load(t, dir, "[kmip]\nobject_group = "+quoted+"\n")
		require.NoError(t, err)
		text, ok, err := files.Text("kmip", "object_group")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, value, text)
	})
}

// Whatever is made of a password, no error and no effective text shows it.
func TestPasswordNeverShown(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		word := "Geheimnis" + rapid.StringMatching(`[a-zA-Z0-9_.$]{0,10}`).Draw(t, "password")
		prefix := rapid.SampledFrom([]string{"", "$", "${", "x$", "\n ", "\n$", "\n\n "}).Draw(t, "prefix")
		option := rapid.SampledFrom([]string{"host", "port", "timeout", "mode", "activate", "object_group", "certfile", "tls_ciphers", "server_name"}).Draw(t, "option")
		reference := rapid.SampledFrom([]string{"$password", "${kmip.password}", "a$password,b", "$kmip_service_user.password"}).Draw(t, "reference")
		text := "[kmip_service_user]\npassword = " + prefix + word + "\n[kmip]\npassword = " + prefix + word + "\n" + option + " = " + reference + "\n"
		files, err := load(t, dir, text, "OS_DEFAULT__TRANSPORT_URL=rabbit://u:"+word)
		if err != nil {
			require.NotContains(t, err.Error(), "Geheimnis")
			return
		}
		for _, shown := range files.Effective() {
			if shown != nil {
				require.NotContains(t, strings.ReplaceAll(*shown, "{kmip.password}", ""), "Geheimnis")
			}
		}
		for i := range options {
			if err := files.convert(&KMIP{}, &options[i]); err != nil {
				require.NotContains(t, err.Error(), "Geheimnis")
			}
		}
	})
}
