from llm_serving.serving.quantities import cores, gibibytes


def test_quantities_are_rounded_down_to_what_kubernetes_counts():
    assert [cores(c) for c in (8, 7.9, 0.5, 1.00009)] == ["8", "7900m", "500m", "1"]
    assert [gibibytes(g) for g in (8, 1.5, 0.1)] == ["8Gi", "1536Mi", "102Mi"]
