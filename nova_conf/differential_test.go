package novaconf

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// comparison is one load: what oslo.config is told, and the same for Load.
type comparison struct {
	judgeCase
	sources []Source
	environ []string
	shown   string
}

func compare(args []Source, home string, env map[string]string, shown string) comparison {
	c := comparison{judgeCase: judgeCase{Args: []string{}, Env: env}, sources: args, environ: []string{"HOME=" + home}, shown: shown}
	for _, s := range args {
		c.Args = append(c.Args, map[bool]string{false: "--config-file", true: "--config-dir"}[s.Dir], s.Path)
	}
	for name, text := range env {
		c.environ = append(c.environ, name+"="+text)
	}
	return c
}

// Where Load or Text refuses and oslo.config does not. Whatever is in no class must be equal, or an error to both.
var refusals = []struct {
	name    string
	message string // the end of our error
	applies func(judgedText) bool
}{
	{"an option of Nova's that nothing sets", errUnknown.Error(), func(j judgedText) bool { return j.Unset }},
	{"a reference to config_file, config_dir or config_source", errOwn.Error(), hasText},
	{"an option of [DEFAULT] named like a section", errGroup.Error(), hasText},
}

func hasText(j judgedText) bool { return j.Text != nil }

func refusal(err error, judged judgedText) string {
	for _, class := range refusals {
		if strings.HasSuffix(err.Error(), class.message) && class.applies(judged) {
			return class.name
		}
	}
	return ""
}

// tally counts options, or whole files where one side cannot load them.
type tally map[string]int

func (c tally) String() string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(c)) {
		lines = append(lines, fmt.Sprintf("%d %s", c[key], key))
	}
	return strings.Join(lines, "; ")
}

func runComparisons(t *testing.T, home string, all []comparison) tally {
	t.Helper()
	question := asked{Options: registered(), Report: reported(), Conversions: [][2]string{}}
	for _, c := range all {
		question.Cases = append(question.Cases, c.judgeCase)
	}
	answer := askOslo(t, home, question)
	counts := tally{"snippets compared": len(all)}
	for i, c := range all {
		compareOne(t, c, answer.Cases[i].Error, answer.Cases[i].Texts, counts)
	}
	t.Log(counts)
	return counts
}

func compareOne(t *testing.T, c comparison, loadError string, texts map[string]judgedText, counts tally) {
	t.Helper()
	files, err := Load(c.sources, c.environ)
	if (err == nil) != (loadError == "") {
		t.Errorf("load: ours %v, oslo.config's %q\n%.2000s", err, loadError, c.shown)
		return
	}
	if err != nil {
		var ours *Error
		require.ErrorAs(t, err, &ours)
		require.NotEmpty(t, ours.File+ours.Variable)
		counts["loads that both refuse"]++
		return
	}
	for key, judged := range texts {
		group, option, _ := strings.Cut(key, ".")
		text, ok, err := files.Text(group, option)
		outcome := compareText(group, text, ok, err, judged)
		if outcome == "" {
			t.Errorf("%s: ours %.300q %v %v, oslo.config's %s\n%.2000q\n%v", key, text, ok, err, describeJudged(judged), c.shown, c.environ)
		}
		counts[outcome]++
	}
}

func describeJudged(j judgedText) string {
	if j.Text == nil {
		return "none " + j.Error
	}
	return fmt.Sprintf("%.300q %s", *j.Text, j.Error)
}

// compareText names what came out, and is empty for a difference.
func compareText(group, text string, ok bool, err error, judged judgedText) string {
	switch {
	case err != nil && judged.Error != "":
		return "options that both refuse"
	case err != nil:
		if class := refusal(err, judged); class != "" {
			return "refused here alone: " + class
		}
	case !ok && group != "kmip" && (judged.Unset || judged.Error != ""):
		return "options outside [kmip] that nothing sets"
	case judged.Error != "":
		return ""
	case !ok && judged.Text == nil, ok && judged.Text != nil && *judged.Text == text:
		return "options equal"
	}
	return ""
}

func TestSameAsOsloConfig(t *testing.T) {
	home := t.TempDir()
	texts := handWritten()
	require.Greater(t, len(texts), 150)
	g := grammar{rand.New(rand.NewPCG(1, 2))}
	var all []comparison
	for i := range len(texts) + 3000 {
		var text string
		env := map[string]string{}
		if i < len(texts) {
			text = texts[i]
		} else {
			text, env = g.file(), g.environment()
		}
		path := filepath.Join(home, fmt.Sprintf("%d.conf", i))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		all = append(all, compare([]Source{{Path: path}}, home, env, text))
	}
	counts := runComparisons(t, home, all)
	require.Greater(t, counts["options equal"], 10_000)
	require.Greater(t, counts["loads that both refuse"], 100)
}

// tree is a set of files and what the command line says about them. A name that ends in / is a directory.
type tree struct {
	name  string
	files map[string]string
	args  []string // -f or -d, and the path
	env   map[string]string
}

func host(name string) string { return "[kmip]\nhost = " + name + "\n" }

func trees() []tree {
	ab := map[string]string{"a.conf": host("a"), "b.conf": host("b"), "d/1.conf": host("1"), "d/2.conf": host("2")}
	return []tree{
		{name: "no argument and no file"},
		{name: "a later file wins", files: ab, args: []string{"-f", "a.conf", "-f", "b.conf"}},
		{name: "a file given twice", files: ab, args: []string{"-f", "a.conf", "-f", "b.conf", "-f", "a.conf"}},
		{name: "a directory after a file", files: ab, args: []string{"-f", "a.conf", "-d", "d"}},
		{name: "a directory before a file", files: ab, args: []string{"-d", "d", "-f", "a.conf"}},
		{name: "a directory with a slash", files: ab, args: []string{"-d", "d/"}},
		{name: "two directories", files: map[string]string{"d/1.conf": host("1"), "e/0.conf": host("0")}, args: []string{"-d", "e", "-d", "d"}},
		{name: "the environment", files: ab, args: []string{"-f", "a.conf"}, env: map[string]string{"OS_KMIP__HOST": "e"}},
		{name: "an empty environment variable", files: ab, args: []string{"-f", "a.conf"}, env: map[string]string{"OS_KMIP__HOST": ""}},
		{name: "sorted as code points", files: map[string]string{
			"d/a.conf": host("a"), "d/B.conf": host("B"), "d/10.conf": host("10"), "d/9.conf": host("9"), "d/\uffee.conf": host("b"), "d/\U0001f511.conf": host("c"),
		}, args: []string{"-d", "d"}},
		{name: "names that are not UTF-8", files: map[string]string{"d/\xff.conf": host("a"), "d/\ue000.conf": host("b"), "d/\xffz.conf": host("c")}, args: []string{"-d", "d"}},
		{name: "what a directory ignores", files: map[string]string{
			"d/.z.conf": host("hidden"), "d/.conf": host("hidden"), "d/z.conf~": host("old"), "d/z.CONF": host("upper"), "d/zconf": host("plain"), "d/a.conf": host("a"),
		}, args: []string{"-d", "d"}},
		{name: "an empty directory", files: map[string]string{"d/": ""}, args: []string{"-d", "d"}},
		{name: "a directory within", files: map[string]string{"d/x.conf/": ""}, args: []string{"-d", "d"}},
		{name: "a file as directory", files: ab, args: []string{"-d", "a.conf"}},
		{name: "a directory as file", files: ab, args: []string{"-f", "d"}},
		{name: "a file within a file", files: ab, args: []string{"-f", "a.conf/x"}},
		{name: "a missing file", files: ab, args: []string{"-f", "a.conf", "-f", "c.conf"}},
		{name: "a missing directory", files: ab, args: []string{"-f", "a.conf", "-d", "c"}},
		{name: "a broken file among good ones", files: map[string]string{"a.conf": host("a"), "b.conf": "junk\n"}, args: []string{"-f", "b.conf", "-f", "a.conf"}},
		{name: "tilde", files: map[string]string{"a.conf": host("a")}, args: []string{"-f", "~/a.conf"}},
		{name: "tilde directory", files: ab, args: []string{"-d", "~/d"}},
		{name: "tilde of nobody known", files: ab, args: []string{"-f", "~no-such-user/a.conf"}},
		{name: "parts of one section in two files", files: map[string]string{
			"a.conf": "[kmip]\nhost = a\nport = $helper\n", "b.conf": "[KMIP]\nhelper = b\n[DEFAULT]\nfoo = $kmip.port\n",
		}, args: []string{"-f", "a.conf", "-f", "b.conf"}},
		{name: "default file", files: map[string]string{"nova.conf": host("a"), ".nova/nova.conf": host("b")}},
		{name: "default files of both names", files: map[string]string{"nova.conf": host("a"), ".nova/kmip-keymgr-helper.conf": host("b")}},
		{name: "default directories", files: map[string]string{
			".nova/nova.conf": host("f"), "nova.conf.d/1.conf": host("1"), ".nova/kmip-keymgr-helper.conf.d/0.conf": host("0"),
		}},
		{name: "default directory with a file given", files: map[string]string{"a.conf": "[kmip]\nport = 1\n", "nova.conf": host("no"), "nova.conf.d/1.conf": host("yes")}, args: []string{"-f", "a.conf"}},
		{name: "default file with a directory given", files: map[string]string{"nova.conf": host("yes"), "nova.conf.d/1.conf": host("no"), "d/1.conf": "[kmip]\nport = 1\n"}, args: []string{"-d", "d"}},
		{name: "a default directory that is a file", files: map[string]string{"nova.conf.d": host("a")}},
		{name: "a default file that is a directory", files: map[string]string{"nova.conf/": ""}},
	}
}

func (x tree) comparison(t *testing.T, home string) comparison {
	t.Helper()
	for path, text := range x.files {
		path = home + "/" + path
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		if !strings.HasSuffix(path, "/") {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		}
	}
	var sources []Source
	for i := 0; i < len(x.args); i += 2 {
		path := x.args[i+1]
		if !strings.HasPrefix(path, "~") {
			path = home + "/" + path
		}
		sources = append(sources, Source{Path: path, Dir: x.args[i] == "-d"})
	}
	env := maps.Clone(x.env)
	if env == nil {
		env = map[string]string{}
	}
	env["HOME"] = home
	return compare(sources, home, env, x.name)
}

func TestSameFilesAsOsloConfig(t *testing.T) {
	var all []comparison
	for _, x := range trees() {
		all = append(all, x.comparison(t, t.TempDir()))
	}
	counts := runComparisons(t, t.TempDir(), all)
	require.Greater(t, counts["options equal"], 500)
}

// A tilde that does not start the path stands for itself.
func TestTildeWithinAPath(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.MkdirAll("x", 0o700))
	require.NoError(t, os.Mkdir("~", 0o700))
	require.NoError(t, os.WriteFile("~/a.conf", []byte("[kmip]\nhost = here\n"), 0o600))
	for _, dir := range []string{"./~", "./~/", "x/../~"} {
		files, err := Load([]Source{{Path: dir, Dir: true}}, []string{"HOME=/nonexistent"})
		require.NoError(t, err)
		host, _, err := files.Text("kmip", "host")
		require.NoError(t, err)
		require.Equal(t, "here", host)
	}
}
