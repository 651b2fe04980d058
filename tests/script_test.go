package tests

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// TestScripts runs the stories in testdata/script, which a reader can follow without knowing Go. Beside testscript's own
// commands they have:
//
//	keep NAME FIELD   the text of a JSON field of the last stdout becomes $NAME
//	expand FILE       $NAME in the file becomes what it stands for
//
// and in the environment CONF, the nova.conf of a running mock.
func TestScripts(t *testing.T) {
	s := startMock(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("CONF", s.config)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"keep": keep, "expand": expand},
	})
	require.Zero(t, s.count(t), "the stories clean up behind them")
}

func keep(ts *testscript.TestScript, neg bool, words []string) {
	if neg || len(words) != 2 {
		ts.Fatalf("usage: keep NAME FIELD")
	}
	match := regexp.MustCompile(`"` + words[1] + `":"([^"]*)"`).FindStringSubmatch(ts.ReadFile("stdout"))
	if match == nil {
		ts.Fatalf("no field %s", words[1])
	}
	ts.Setenv(words[0], match[1])
}

func expand(ts *testscript.TestScript, neg bool, words []string) {
	if neg || len(words) != 1 {
		ts.Fatalf("usage: expand FILE")
	}
	path := ts.MkAbs(words[0])
	text := os.Expand(ts.ReadFile(words[0]), ts.Getenv)
	ts.Check(os.WriteFile(path, []byte(strings.TrimSpace(text)+"\n"), 0o600))
}
