package filter

import (
	"errors"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// The functions that filters have beside CEL's own, and CEL's own where they are about
// integers there. Those that begin with @ are written by expand only.
const (
	operandFn     = "@operand"
	countFn       = "@count"
	anniversaryFn = "@anniversary"
)

// The bounds of what a number may be in arithmetic, zero aside, so that no chain of the
// length that is allowed leaves the float64, where PostgreSQL raises and CEL goes on.
const (
	maxOperand = 1e15
	minOperand = 1e-15
)

func inArithmetic(n float64) bool {
	return n == 0 || math.Abs(n) >= minOperand && math.Abs(n) <= maxOperand
}

var errOutOfRange = errors.New("the number is out of the range of arithmetic")

func functions() []cel.EnvOption {
	str, num, when, length := cel.StringType, cel.DoubleType, cel.TimestampType, cel.DurationType
	out := []cel.EnvOption{
		cel.Function(operators.Add,
			cel.Overload("add_number", []*cel.Type{num, num}, num, binary(func(a, b types.Double) ref.Val { return a + b })),
			cel.Overload("add_text", []*cel.Type{str, str}, str, binary(func(a, b types.String) ref.Val { return a + b })),
			cel.Overload("add_duration_to_date", []*cel.Type{when, length}, when, binary(func(a types.Timestamp, b types.Duration) ref.Val { return later(a, b.Duration) })),
			cel.Overload("add_date_to_duration", []*cel.Type{length, when}, when, binary(func(a types.Duration, b types.Timestamp) ref.Val { return later(b, a.Duration) }))),
		cel.Function(operators.Subtract,
			cel.Overload("subtract_number", []*cel.Type{num, num}, num, binary(func(a, b types.Double) ref.Val { return a - b })),
			cel.Overload("subtract_duration", []*cel.Type{when, length}, when, binary(func(a types.Timestamp, b types.Duration) ref.Val { return later(a, -b.Duration) })),
			cel.Overload("subtract_date", []*cel.Type{when, when}, length, binary(between))),
		cel.Function(operators.Multiply,
			cel.Overload("multiply_number", []*cel.Type{num, num}, num, binary(func(a, b types.Double) ref.Val { return a * b }))),
		cel.Function(operators.Negate,
			cel.Overload("negate_number", []*cel.Type{num}, num, unary(func(a types.Double) ref.Val { return -a }))),
		cel.Function(operandFn,
			cel.Overload("operand_number", []*cel.Type{num}, num, unary(func(a types.Double) ref.Val {
				if !inArithmetic(float64(a)) {
					return types.WrapErr(errOutOfRange)
				}
				return a
			})),
			cel.Overload("operand_text", []*cel.Type{str}, str, unary(func(a types.String) ref.Val { return a })),
			cel.Overload("operand_date", []*cel.Type{when}, when, unary(func(a types.Timestamp) ref.Val { return a })),
			cel.Overload("operand_duration", []*cel.Type{length}, length, unary(func(a types.Duration) ref.Val { return a }))),

		sized("size", cel.Overload, "size"), sized("size", cel.MemberOverload, "of_size"),
		cel.Function("lowerAscii", cel.MemberOverload("lower_ascii", []*cel.Type{str}, str, unary(func(s types.String) ref.Val { return types.String(mapASCII(string(s), 'A', 'a')) }))),
		cel.Function("upperAscii", cel.MemberOverload("upper_ascii", []*cel.Type{str}, str, unary(func(s types.String) ref.Val { return types.String(mapASCII(string(s), 'a', 'A')) }))),
		folded("iequals", func(a, b string) bool { return a == b }), folded("icontains", strings.Contains),
		folded("istartsWith", strings.HasPrefix), folded("iendsWith", strings.HasSuffix),

		ofLists("hasAny", func(have, want map[string]bool) bool { return overlapping(have, want) > 0 }),
		ofLists("hasAll", func(have, want map[string]bool) bool { return overlapping(have, want) == len(want) }),
		ofLists("hasNone", func(have, want map[string]bool) bool { return overlapping(have, want) == 0 }),

		cel.Function("date", cel.Overload("date_of_text", []*cel.Type{str}, when, unary(func(s types.String) ref.Val {
			t, err := time.Parse(time.DateOnly, string(s))
			if err != nil {
				return types.WrapErr(err)
			}
			return types.Timestamp{Time: t}
		}))),
		cel.Function("days", cel.Overload("days_number", []*cel.Type{num}, length, unary(func(n types.Double) ref.Val {
			return types.Duration{Duration: days(float64(n))}
		}))),
		cel.Function("withinLast", cel.Overload("within_last", []*cel.Type{when, length}, cel.BoolType)), // expand takes them apart
		cel.Function("withinNext", cel.Overload("within_next", []*cel.Type{when, length}, cel.BoolType)),
		cel.Function("between",
			cel.Overload("between_number", []*cel.Type{num, num, num}, cel.BoolType),
			cel.Overload("between_text", []*cel.Type{str, str, str}, cel.BoolType),
			cel.Overload("between_date", []*cel.Type{when, when, when}, cel.BoolType)),
		cel.Function("anniversary", cel.Overload("anniversary_date", []*cel.Type{when}, cel.BoolType)),
		cel.Function(anniversaryFn, cel.Overload("anniversary_in", []*cel.Type{when, when, str}, cel.BoolType, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			date, day, zone := args[0].(types.Timestamp), args[1].(types.Timestamp), args[2].(types.String)
			at, err := zoneOf(string(zone))
			if err != nil {
				return types.WrapErr(err)
			}
			return types.Bool(isAnniversary(date.Time.In(at), day.Time))
		}))),
		cel.Function("events", cel.Overload("events_kind", []*cel.Type{str}, eventsCEL)),
		cel.Function("count", cel.MemberOverload("events_count", []*cel.Type{eventsCEL, length}, num)),
		cel.Function(countFn, cel.Overload("count_kind", []*cel.Type{str, length, recordCEL}, num, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			return args[2].(*recordVal).count(string(args[0].(types.String)), args[1].(types.Duration).Duration)
		}))),
	}
	for name, of := range parts {
		out = append(out, cel.Function(name,
			cel.MemberOverload(name+"_utc", []*cel.Type{when}, num, unary(func(t types.Timestamp) ref.Val { return types.Double(of.of(t.UTC())) })),
			cel.MemberOverload(name+"_in", []*cel.Type{when, str}, num, binary(func(t types.Timestamp, zone types.String) ref.Val {
				at, err := zoneOf(string(zone))
				if err != nil {
					return types.WrapErr(err)
				}
				return types.Double(of.of(t.In(at)))
			}))))
	}
	return out
}

func unary[A ref.Val](fn func(A) ref.Val) cel.OverloadOpt {
	return cel.UnaryBinding(func(a ref.Val) ref.Val { return fn(a.(A)) })
}

func binary[A, B ref.Val](fn func(A, B) ref.Val) cel.OverloadOpt {
	return cel.BinaryBinding(func(a, b ref.Val) ref.Val { return fn(a.(A), b.(B)) })
}

func sized(name string, form func(string, []*cel.Type, *cel.Type, ...cel.OverloadOpt) cel.FunctionOpt, id string) cel.EnvOption {
	return cel.Function(name,
		form(id+"_text", []*cel.Type{cel.StringType}, cel.DoubleType, unary(func(s types.String) ref.Val { return types.Double(utf8.RuneCountInString(string(s))) })),
		form(id+"_list", []*cel.Type{textList}, cel.DoubleType, cel.UnaryBinding(func(v ref.Val) ref.Val {
			n, ok := v.(interface{ Size() ref.Val }).Size().(types.Int)
			if !ok {
				return types.NewErr("no size")
			}
			return types.Double(n)
		})))
}

// folded is a comparison of texts that letters' case does not change.
func folded(name string, fn func(a, b string) bool) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload(name+"_text", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		binary(func(a, b types.String) ref.Val { return types.Bool(fn(fold(string(a)), fold(string(b)))) })))
}

// fold replaces every letter by one that stands for all that are the same but for case, as
// regexp does under (?i): simple folding, https://www.unicode.org/Public/UCD/latest/ucd/CaseFolding.txt.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || 'a' <= s[i] && s[i] <= 'z' {
			return strings.Map(func(r rune) rune {
				least := r
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					least = min(least, f)
				}
				return least
			}, s)
		}
	}
	return s
}

func mapASCII(s string, from, to byte) string {
	return strings.Map(func(r rune) rune {
		if rune(from) <= r && r <= rune(from)+25 {
			return r - rune(from) + rune(to)
		}
		return r
	}, s)
}

func ofLists(name string, fn func(have, want map[string]bool) bool) cel.EnvOption {
	return cel.Function(name, cel.Overload(name+"_list", []*cel.Type{textList, textList}, cel.BoolType, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
		have, ok := texts(a)
		want, alsoOK := texts(b)
		if !ok || !alsoOK {
			return types.NewErr("no list of text")
		}
		return types.Bool(fn(have, want))
	})))
}

func texts(v ref.Val) (map[string]bool, bool) {
	out := map[string]bool{}
	list, ok := v.(interface {
		Size() ref.Val
		Get(ref.Val) ref.Val
	})
	if !ok {
		return nil, false
	}
	n, _ := list.Size().(types.Int)
	for i := range n {
		s, ok := list.Get(i).(types.String)
		if !ok {
			return nil, false
		}
		out[string(s)] = true
	}
	return out, true
}

func overlapping(have, want map[string]bool) (n int) {
	for s := range want {
		if have[s] {
			n++
		}
	}
	return n
}
