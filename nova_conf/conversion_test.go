package novaconf

import (
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// conversionTexts are awkward values, and random joins of their pieces.
func conversionTexts() []string {
	texts := []string{
		"", " ", "true", "True", "TRUE", " true", "true ", "yes", "YES", "y", "on", "ON", "off", "no", "n", "0", "1", "00", "01", "2", "-1", "t", "f", "false\n", "none", "None",
		"5696", "+5", "-5", "--5", "+-5", " 5 ", "\u00a05\u2003", "\x1c5\x1f", "5 6", "1_000", "1__0", "_1", "1_", "-_1", "1_000_000", "0x10", "0o7", "0b1", "007", "-0", "+0", "5.", ".5", ".", "5.0", "1e3", "1E3", "1e", "e1",
		"1e+3", "1e-3", "1e_3", "1_0e1_0", "1_.5", "1._5", "1.5_5", "inf", "-inf", "Infinity", "nan", "NaN", "1e400", "1e-400", "0x1p4", "0x1", "1,000", "5s", "5 seconds", "９", "１２３", "\u0663", "²", "½", "5\u200b", "9223372036854775807",
		"9223372036854775808", "99999999999999999999", "9e9", "9.1e9", "0.0000000001", "1e-9", "0.5", "5\x00", "5\n", "1.2.3", "+", "-", "+.5", "-.5", "1d", "1f", "1l", "1L", "1j", "true,", "a", "a,b", " a , b ", "a,,b", ",a", "a,", "a,,,", ",", ",,", " , ", "a, ,",
		"a ,", "a\n,b", "\u00a0a,\u2003b", "a;b", "\"a\",\"b\"", "\"a,b\"", "'a", "[a,b]", "a, ", ", a", "a,\x1c", "a\x1c,",
	}
	r := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"0", "1", "5", "9", "00", "_", "+", "-", ".", "e", "E", " ", ",", "\u00a0", "\x1d", "true", "on", "a", "x", "inf"}
	for range 3000 {
		var text strings.Builder
		for range 1 + r.IntN(6) {
			text.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts = append(texts, text.String())
	}
	return texts
}

// convertHere gives our value as the judge writes it, or the class of a refusal that oslo.config does not share.
func convertHere(kind, text, judged string) (value, class string, err error) {
	blank := strings.TrimFunc(text, isSpace) == ""
	ascii := strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 && !isSpace(r) }) < 0
	separators := strings.ContainsAny(text, "\x1c\x1d\x1e\x1f") && strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 }) >= 0
	switch kind {
	case "Boolean":
		b, err := parseBool(text)
		return map[bool]string{true: "True", false: "False"}[b], "", err
	case "Integer":
		n, err := parseInt(text, math.MinInt, math.MaxInt)
		_, overflow := strconv.ParseInt(judged, 10, 64)
		return strconv.Itoa(n), classOf(map[string]bool{"blank": blank, "digits beyond ASCII": !ascii, "separators beside white space beyond ASCII": separators, "beyond 64 bits": overflow != nil && !blank && ascii}), err
	case "Float":
		f, _ := strconv.ParseFloat(judged, 64)
		d, err := parseSeconds(text, 0)
		if err == nil && d == time.Duration(f*1e9) {
			return judged, "", nil
		}
		return d.String(), classOf(map[string]bool{"blank": blank, "digits beyond ASCII": !ascii, "separators beside white space beyond ASCII": separators, "not finite": math.IsNaN(f) || math.IsInf(f, 0), "negative": f < 0, "above 9e9 s": f > maxSeconds && !math.IsInf(f, 0)}), err
	}
	items, _ := json.Marshal(append([]string{}, splitList(text)...))
	return string(items), "", nil
}

func classOf(classes map[string]bool) string {
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		if classes[class] {
			return class
		}
	}
	return ""
}

func TestConvertsAsOsloConfig(t *testing.T) {
	question := asked{Options: registered()}
	question.Cases = []judgeCase{}
	for _, text := range conversionTexts() {
		for _, kind := range []string{"Boolean", "Integer", "Float", "List"} {
			question.Conversions = append(question.Conversions, [2]string{kind, text})
		}
	}
	answer := askOslo(t, t.TempDir(), question)
	counts := tally{}
	for i, c := range question.Conversions {
		judged := answer.Conversions[i]
		value, class, err := convertHere(c[0], c[1], judged.Value)
		switch {
		case err != nil && judged.Error != "":
			counts[c[0]+" that both refuse"]++
		case err != nil:
			require.NotEmpty(t, class, "%s %q: ours %v, oslo.config's %s", c[0], c[1], err, judged.Value)
			counts[c[0]+" refused here alone: "+class]++
		default:
			require.Empty(t, judged.Error, "%s %q: ours %s", c[0], c[1], value)
			requireSameValue(t, c, judged.Value, value)
			counts[c[0]+" equal"]++
		}
	}
	t.Log(counts)
}

func requireSameValue(t *testing.T, c [2]string, theirs, ours string) {
	t.Helper()
	if c[0] == "List" {
		require.JSONEq(t, theirs, ours, "%q", c[1])
		return
	}
	require.Equal(t, theirs, ours, "%s %q", c[0], c[1])
}
