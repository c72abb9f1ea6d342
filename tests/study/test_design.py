SWEEP = (
    'name = "joint"\nset = { strategy = "joint" }',
    'name = "joint"\nset = { strategy = "joint" }\nvary = { "loss.lambda" = [0.25, 0.5] }',
)


def rows_of(design, arm):
    return [row for row in design.rows if row.cell and row.cell.arm == arm]


def test_the_first_stage_of_sequential_is_the_seg_run(design_of):
    design = design_of()
    for sequential, seg in zip(rows_of(design, "sequential"), rows_of(design, "seg"), strict=True):
        assert sequential.run.starts_from == seg.run.hash
        assert sequential.run.steps == 2 * seg.run.steps
    assert len(design.runs) == 8


def test_under_a_total_budget_it_is_a_run_that_no_arm_names(design_of):
    design = design_of(('rule = "per-stage"', 'rule = "total"'))
    stages = [row for row in design.rows if row.cell is None]
    assert len(stages) == 2
    assert len(design.runs) == 10
    assert {row.run.steps for row in rows_of(design, "sequential")} == {
        row.run.steps for row in rows_of(design, "seg")
    }


def test_runs_that_others_start_from_come_first(design_of):
    design = design_of()
    order = list(design.runs)
    for run in design.runs.values():
        if run.starts_from:
            assert order.index(run.starts_from) < order.index(run.hash)


def test_arms_with_the_same_configuration_share_their_runs(design_of):
    twin = (
        '[[arms]]\nname = "cls"',
        '[[arms]]\nname = "twin"\nset = { strategy = "cls" }\n[[arms]]\nname = "cls"',
    )
    design = design_of(twin)
    assert [r.run.hash for r in rows_of(design, "twin")] == [
        r.run.hash for r in rows_of(design, "cls")
    ]
    assert design.users[rows_of(design, "cls")[0].run.hash] == ["twin", "cls"]


def test_a_sweep_is_a_cell_per_point(design_of):
    design = design_of(SWEEP)
    labels = [cell.label for cell in design.cells if cell.arm == "joint"]
    assert labels == ["joint [loss.lambda=0.25]", "joint [loss.lambda=0.5]"]
    weights = {r.run.config["stages"][0]["cls_weight"] for r in rows_of(design, "joint")}
    assert weights == {0.25, 0.5}


def test_a_hash_covers_what_a_run_uses_and_nothing_else(design_of):
    plain = design_of()
    lambda_ = design_of(("[base.model]", "[base.loss]\nlambda = 0.9\n[base.model]"))
    weights = design_of(("[base.model]", '[base.loss]\nclass_weights = "none"\n[base.model]'))
    threads = design_of(("[budget]", "[resources]\nthreads = 2\n[budget]"))

    def hashes(design, arm):
        return [row.run.hash for row in rows_of(design, arm)]

    for arm in ("cls", "seg", "sequential"):
        assert hashes(lambda_, arm) == hashes(plain, arm)
    assert hashes(lambda_, "joint") != hashes(plain, "joint")
    assert hashes(weights, "cls") == hashes(plain, "cls")
    assert not set(hashes(weights, "seg")) & set(hashes(plain, "seg"))
    assert not set(hashes(weights, "sequential")) & set(hashes(plain, "sequential"))
    assert not set(threads.runs) & set(plain.runs)


def test_a_mode_of_compilation_is_part_of_a_run_where_it_is_named(design_of):
    def runs(line):
        return set(design_of(("[budget]", f"[resources]\n{line}\n[budget]")).runs)

    plain = set(design_of().runs)
    for line in ('compile = "auto"', 'compile = "off"', "deterministic = false"):
        assert runs(line) == plain
    named = [runs(f'compile = "{mode}"') for mode in ("default", "reduce-overhead")]
    assert not named[0] & named[1]
    assert not (named[0] | named[1]) & plain


def test_joint_at_lambda_1_has_its_own_hash(design_of):
    design = design_of(("[base.model]", "[base.loss]\nlambda = 1.0\n[base.model]"))
    assert rows_of(design, "joint")[0].run.hash != rows_of(design, "cls")[0].run.hash


def test_folds_make_a_run_each(design_of):
    design = design_of(('difficulty = "easy"', 'difficulty = "easy"\nfolds = 3'))
    assert len(rows_of(design, "cls")) == 6
    assert {row.fold for row in design.rows} == {0, 1, 2}
