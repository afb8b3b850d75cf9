package filter

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
)

// The limits of a pattern, within which PostgreSQL never finds one too complex.
const (
	maxPatternSteps  = 1000
	maxPatternRanges = 4000
	maxPatternRepeat = 255 // PostgreSQL's own
)

// checkPattern reports why a pattern cannot be said to PostgreSQL, and else what it costs for
// one record and how much measure counts it as.
func checkPattern(re *syntax.Regexp) (cost, size int, err error) {
	if err := checkPatternParts(re); err != nil {
		return 0, 0, err
	}
	program, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, 0, fmt.Errorf("the regular expression cannot be compiled: %w", err)
	}
	ranges := 0
	for _, step := range program.Inst {
		ranges += len(step.Rune) / 2
	}
	if len(program.Inst) > maxPatternSteps || ranges > maxPatternRanges {
		return 0, 0, fmt.Errorf("the regular expression is too large: at most %d steps and %d ranges of characters", maxPatternSteps, maxPatternRanges)
	}
	return 10 + len(program.Inst)/10, (len(program.Inst) + ranges) / 50, nil
}

func checkPatternParts(re *syntax.Regexp) error {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpEndLine:
		return errors.New("the flag m, which makes ^ and $ match at lines, is not supported")
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return errors.New(`\b and \B are not supported`)
	case syntax.OpRepeat:
		if re.Min > maxPatternRepeat || re.Max > maxPatternRepeat {
			return fmt.Errorf("at most %d repeats are supported", maxPatternRepeat)
		}
	case syntax.OpNoMatch, syntax.OpEmptyMatch, syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyCharNotNL, syntax.OpAnyChar, syntax.OpBeginText,
		syntax.OpEndText, syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpConcat, syntax.OpAlternate:
	}
	for _, sub := range re.Sub {
		if err := checkPatternParts(sub); err != nil {
			return err
		}
	}
	return nil
}

// patternSQL writes a pattern that was checked as an advanced regular expression of
// PostgreSQL: https://www.postgresql.org/docs/current/functions-matching.html#POSIX-SYNTAX-DETAILS.
// Every character is written as a number, so that none has a meaning there.
func patternSQL(re *syntax.Regexp) string {
	var b strings.Builder
	writePattern(&b, re)
	return b.String()
}

// noCharacter is a class that nothing is in: all characters but those that there are.
const noCharacter = `[^\u0001-\U0010FFFF]`

func writePattern(b *strings.Builder, re *syntax.Regexp) {
	b.WriteString("(?:")
	defer b.WriteString(")")
	switch re.Op {
	case syntax.OpNoMatch:
		b.WriteString(noCharacter)
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				writeFolded(b, r)
			} else {
				writeCharacter(b, r)
			}
		}
	case syntax.OpCharClass:
		writeClass(b, re.Rune)
	case syntax.OpAnyCharNotNL:
		b.WriteString(`[^\n]`)
	case syntax.OpAnyChar:
		b.WriteString(`.`)
	case syntax.OpBeginText:
		b.WriteString(`\A`)
	case syntax.OpEndText:
		b.WriteString(`\Z`)
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			writePattern(b, sub)
		}
	case syntax.OpAlternate:
		for i, sub := range re.Sub {
			if i > 0 {
				b.WriteString("|")
			}
			writePattern(b, sub)
		}
	case syntax.OpStar:
		writeRepeated(b, re, "*")
	case syntax.OpPlus:
		writeRepeated(b, re, "+")
	case syntax.OpQuest:
		writeRepeated(b, re, "?")
	case syntax.OpRepeat:
		if re.Max < 0 {
			writeRepeated(b, re, fmt.Sprintf("{%d,}", re.Min))
		} else {
			writeRepeated(b, re, fmt.Sprintf("{%d,%d}", re.Min, re.Max))
		}
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary: // the last four were refused
	}
}

func writeRepeated(b *strings.Builder, re *syntax.Regexp, how string) {
	writePattern(b, re.Sub[0])
	b.WriteString(how)
}

func writeCharacter(b *strings.Builder, r rune) {
	if !storableRune(r) {
		b.WriteString(noCharacter)
		return
	}
	fmt.Fprintf(b, `\U%08X`, r)
}

// storableRune reports whether a text of PostgreSQL can have a character.
func storableRune(r rune) bool { return r > 0 && r <= unicode.MaxRune && (r < 0xD800 || r > 0xDFFF) }

func writeFolded(b *strings.Builder, r rune) {
	class := []rune{r, r}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		class = append(class, f, f)
	}
	writeClass(b, class)
}

// writeClass writes pairs of first and last characters, without those that no text has.
func writeClass(b *strings.Builder, pairs []rune) {
	var class strings.Builder
	add := func(first, last rune) {
		if first <= last {
			fmt.Fprintf(&class, `\U%08X-\U%08X`, first, last)
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		first, last := max(pairs[i], 1), min(pairs[i+1], unicode.MaxRune)
		add(first, min(last, 0xD7FF))
		add(max(first, 0xE000), last)
	}
	if class.Len() == 0 {
		b.WriteString(noCharacter)
		return
	}
	b.WriteString("[" + class.String() + "]")
}
