package novaconf

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed testdata/judge.py
var judgeScript string

const python = "/usr/bin/python3" // Debian's: python3-oslo.config is not for another one

// asked and answered are what testdata/judge.py reads and writes.
type asked struct {
	Options     map[string]map[string]*string `json:"options"`
	Report      []string                      `json:"report"`
	Cases       []judgeCase                   `json:"cases"`
	Conversions [][2]string                   `json:"conversions"`
}

type judgeCase struct {
	Args []string          `json:"args"`
	Env  map[string]string `json:"env"`
}

type answered struct {
	Cases []struct {
		Error string                `json:"error"`
		Texts map[string]judgedText `json:"texts"`
	} `json:"cases"`
	Conversions []struct{ Value, Error string } `json:"conversions"`
}

// judgedText is one option's: an error, or a text (null for None). unset says that an option of Nova's was needed that
// nothing sets.
type judgedText struct {
	Text  *string `json:"text"`
	Error string  `json:"error"`
	Unset bool    `json:"unset"`
}

// askOslo runs one Python process over everything.
func askOslo(t *testing.T, home string, question asked) answered {
	t.Helper()
	if err := exec.Command(python, "-c", "import oslo_config.cfg").Run(); err != nil {
		if os.Getenv("KMIP_TESTS_REQUIRE_PEERS") == "1" {
			t.Fatal("python3-oslo.config is not installed, and KMIP_TESTS_REQUIRE_PEERS=1 asks for it")
		}
		t.Skip("python3-oslo.config is not installed")
	}
	input, err := json.Marshal(question)
	require.NoError(t, err)
	command := exec.Command(python, "-c", judgeScript)
	command.Env = []string{"HOME=" + home, "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"}
	command.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	require.NoError(t, err, stderr.String())
	var answer answered
	require.NoError(t, json.Unmarshal(output, &answer))
	return answer
}

func optional(text string) *string { return &text }

// registered are the options that the judge knows: ours as texts, and in other groups, as Nova might have them, all that
// the snippets set there.
func registered() map[string]map[string]*string {
	kmip := map[string]*string{}
	for _, o := range options {
		kmip[o.name] = nil
		if o.fallback != "" {
			kmip[o.name] = optional(o.fallback)
		}
	}
	all := map[string]map[string]*string{"kmip": kmip}
	for _, group := range []string{"DEFAULT", "other", "kmip_service_user"} {
		all[group] = map[string]*string{}
		for _, name := range settable {
			all[group][name] = nil
		}
	}
	all["DEFAULT"]["state_path"] = optional("/var/lib/nova")
	all["DEFAULT"]["bar"] = optional("$foo")
	all["other"]["beta"] = optional("b")
	return all
}

// reported are the options to compare: all of ours, and enough of the others.
func reported() []string {
	keys := []string{"DEFAULT.foo", "DEFAULT.bar", "DEFAULT.host", "other.alpha", "other.beta", "kmip_service_user.username"}
	for _, o := range options {
		keys = append(keys, "kmip."+o.name)
	}
	return keys
}
